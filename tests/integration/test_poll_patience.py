"""How long a poller waits after trouble, and between requests."""

import pytest

from services.contracts.app import Trouble, Verdict
from services.ingest.patience import LONGEST, Pace, growing, pause_after, verdict


@pytest.mark.parametrize(
    ("key", "own", "expected"),
    [
        (401, {}, Verdict.REAUTHORISE),
        (429, {}, Verdict.THROTTLED),
        (503, {}, Verdict.RETRY),
        ("unanswered", {}, Verdict.RETRY),
        (403, {403: Verdict.REAUTHORISE}, Verdict.REAUTHORISE),
        ("rate_limit", {"rate_limit": Verdict.THROTTLED}, Verdict.THROTTLED),
    ],
)
def test_an_apps_own_verdict_comes_before_the_default(
    key: int | str, own: dict[int | str, Verdict], expected: Verdict
) -> None:
    assert verdict(Trouble(key=key, detail="."), own) is expected


def test_the_pause_that_an_app_asks_for_is_kept_within_an_hour() -> None:
    asked = [pause_after(Trouble(key=429, detail=".", retry_after=after), {}, 9) for after in (0.5, 7.0, 1e9, -1.0)]
    assert asked == [0.5, 7.0, 3600.0, 0.0]


def test_revoked_credentials_are_tried_rarely() -> None:
    assert pause_after(Trouble(key=401, detail=".", retry_after=1.0), {}, 1) == LONGEST


def test_pauses_grow_with_jitter_up_to_a_minute() -> None:
    firsts = {growing(1) for _ in range(50)}
    assert len(firsts) > 1
    assert max(firsts) <= 1.0
    lasts = [growing(40) for _ in range(200)]
    assert all(0.5 <= pause <= LONGEST for pause in lasts)
    assert max(lasts) > LONGEST / 2


async def test_requests_keep_their_distance_after_a_burst() -> None:
    now = 100.0
    pace = Pace(1000.0, 3, monotonic=lambda: now)
    turns = []
    for _ in range(5):
        await pace.turn()
        turns.append(pace._next - now)
    # Three may go at once; then each waits a thousandth of a second longer.
    assert [round(ahead * 1000) for ahead in turns] == [-1, 0, 1, 2, 3]
