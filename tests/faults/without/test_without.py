"""The campaign can fail: without one of the protocol's remedies, its judgement reports what that remedy prevents.

Each test plays one story twice, on real parts: with every remedy it ends well; without the one it is about, and with
nothing else changed, the same judgement that ends a campaign reports what went wrong.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.conftest import Postgres
from tests.faults.verdict import Finding, Verdict
from tests.faults.without.theatre import FAILURE, LONGEST, VERDICT, Play

ROOT = Path(__file__).resolve().parents[3]

Played = Callable[[str], Verdict]
"""Plays a remedy's story with and without it; returns the verdict on the latter. The former has to be good."""


class Theatre:
    """The process that plays, and the databases that it plays on."""

    def __init__(self, postgres: Postgres, folder: Path) -> None:
        self._postgres = postgres
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.without.theatre"], stdin=subprocess.PIPE, cwd=ROOT
        )

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    def __call__(self, name: str) -> Verdict:
        plays = [self._play(name, without) for without in ("", name)]
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(msgspec.json.encode(plays) + b"\n")
            self._process.stdin.flush()
            good, bad = [self._verdict(Path(play.folder)) for play in plays]
        finally:
            for play in plays:
                self._postgres.drop(play.dsn)
        assert good.good, good
        return bad

    def _play(self, name: str, without: str) -> Play:
        folder = self._folder / name / (without or "with-all")
        folder.mkdir(parents=True)
        return Play(name, without, self._postgres.create(), str(folder))

    def _verdict(self, folder: Path) -> Verdict:
        deadline = time.monotonic() + 2 * LONGEST
        while time.monotonic() < deadline:
            assert self._process.poll() is None, "the theatre has ended"
            if (folder / VERDICT).exists():
                return msgspec.json.decode((folder / VERDICT).read_bytes(), type=Verdict)
            if (folder / FAILURE).exists():
                pytest.fail((folder / FAILURE).read_text("utf-8"), pytrace=False)
            time.sleep(0.02)
        pytest.fail("the story doesn't end")


@pytest.fixture(scope="module")
def without(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    theatre = Theatre(postgres, tmp_path_factory.mktemp("without"))
    yield theatre
    theatre.close()


def kinds(verdict: Verdict) -> set[str]:
    """What the verdict reports: `lost`, `duplicates`, `diverged`, `stale commits`."""
    found = {finding.kind for finding in verdict.findings}
    return found | ({"stale commits"} if verdict.stale_commits else set())


def only(verdict: Verdict) -> Finding:
    (found,) = verdict.findings
    return found


def test_without_the_fence_a_zombie_commits_stale_offsets(without: Played) -> None:
    verdict = without("fence")
    assert kinds(verdict) == {"stale commits"}
    assert verdict.stale_commits == 1


def test_without_the_ledger_a_command_that_comes_twice_makes_two_contacts(without: Played) -> None:
    assert kinds(without("ledger")) == {"duplicates"}


def test_without_the_create_key_a_lost_answer_makes_two_contacts(without: Played) -> None:
    assert kinds(without("create_key")) == {"duplicates"}


def test_without_the_base_pair_the_other_side_s_edit_is_taken_back(without: Played) -> None:
    assert kinds(without("base_pair")) == {"lost"}


def test_without_one_unsettled_write_an_echo_overwrites_a_newer_edit(without: Played) -> None:
    assert kinds(without("unsettled_write")) == {"lost"}


def test_without_the_order_guard_an_old_page_takes_an_edit_back(without: Played) -> None:
    assert kinds(without("order_guard")) == {"diverged"}


def test_without_the_scan_barrier_a_contact_not_read_yet_is_made_again(without: Played) -> None:
    assert kinds(without("scan_barrier")) == {"duplicates"}


def test_without_the_reservation_two_connections_make_one_contact_each(without: Played) -> None:
    assert kinds(without("reservation")) == {"duplicates"}


def test_without_the_poll_number_a_change_after_a_crash_is_taken_for_seen(without: Played) -> None:
    assert kinds(without("poll_number")) == {"diverged"}


def test_without_the_link_lock_a_receipt_hides_an_edit(without: Played) -> None:
    assert kinds(without("link_lock")) == {"diverged"}


def test_without_compare_and_set_a_write_takes_an_unseen_edit_back(without: Played) -> None:
    found = only(without("compare_and_set"))
    assert (found.kind, found.about) == ("lost", "note")


def test_without_the_stored_receipt_an_edit_that_followed_a_write_is_lost(without: Played) -> None:
    assert kinds(without("stored_receipt")) == {"lost"}
