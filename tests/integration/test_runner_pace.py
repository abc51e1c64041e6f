"""How fast, how long between tries, and what an answer means."""

import pytest

from services.connectors import discover
from services.connectors.pacing import LONGEST_PAUSE, Bucket, pause_after
from services.connectors.verdicts import is_failure, verdict_on
from services.contracts.app import Trouble, Verdict
from tests.integration.paper import PaperApp


def test_a_bucket_lets_its_burst_through_and_then_its_rate() -> None:
    bucket = Bucket(rate=4, burst=3, now=0)
    for _ in range(3):
        assert bucket.delay(0) == 0
        bucket.take(0)
    assert bucket.delay(0) == pytest.approx(0.25)
    assert bucket.delay(0.25) == 0
    bucket.take(0.25)
    assert bucket.delay(100) == 0
    for _ in range(3):
        bucket.take(100)
    assert bucket.delay(100) == pytest.approx(0.25)


def test_a_bucket_in_debt_is_waited_for() -> None:
    bucket = Bucket(rate=2, burst=1, now=0)
    bucket.take(0)
    bucket.take(0)
    assert bucket.delay(0) == pytest.approx(1.0)


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    bucket = Bucket(rate=1, burst=1, now=10)
    bucket.take(10)
    assert bucket.delay(5) == pytest.approx(1.0)


def test_pauses_grow_are_bounded_and_heed_the_app() -> None:
    assert 0.25 <= pause_after(1) <= 0.5
    assert 2 <= pause_after(4) <= 4
    assert LONGEST_PAUSE / 2 <= pause_after(1000) <= LONGEST_PAUSE
    assert pause_after(1, retry_after=90) == 90


@pytest.mark.parametrize(
    ("key", "verdict", "failure"),
    [
        ("not_sent", Verdict.RETRY, True),
        ("unanswered", Verdict.UNKNOWN, True),
        (400, Verdict.REFUSE, False),
        (401, Verdict.REAUTHORISE, False),
        (404, Verdict.GONE, False),
        (412, Verdict.STALE, False),
        (429, Verdict.THROTTLED, True),
        (500, Verdict.UNKNOWN, True),
        (503, Verdict.UNKNOWN, True),
        ("a_word_of_tomorrow", Verdict.UNKNOWN, False),
    ],
)
def test_what_an_answer_means(key: int | str, verdict: Verdict, failure: bool) -> None:
    trouble = Trouble(key=key, detail="")
    assert verdict_on(trouble, PaperApp().manifest) is verdict
    assert is_failure(trouble, verdict) is failure


def test_the_apps_are_found_under_their_names() -> None:
    assert {"carddav", "stripe"} <= set(discover())
    assert all(app.manifest.name == name for name, app in discover().items())
