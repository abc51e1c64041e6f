"""A person takes back what was written, at the command line, while contactsync runs between two Stripe accounts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.end_to_end.test_two_stripes import TRASH, nothing_more, pair, shown
from tests.end_to_end.two_stripes import house
from tests.integration.test_hand_cli import Done, Shell


@pytest.fixture
def shell(database: str, tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path, database)
    try:
        yield made
    finally:
        made.close()


async def typed(shell: Shell, *arguments: str) -> Done:
    """What a command says; the accounts go on answering meanwhile."""
    return await asyncio.to_thread(shell.run, *arguments)


async def test_g6_reverted_writes_stay_reverted_on_both_sides_and_a_later_edit_flows_again(
    database: str, tmp_path: Path, shell: Shell
) -> None:
    async with house(database, tmp_path) as home:
        left, right = await pair(home)
        since = (await home.installation.store.fetchval("SELECT clock_timestamp()")).isoformat()
        home.left.dashboard.update(left, name="Ada Lovelace", phone="+12025550101")
        await home.until(lambda: shown(home.right, right).get("phone") == "+12025550101")
        made = await pair(home, 1)
        home.right.dashboard.update(right, description="of a person's own")
        await home.until(lambda: shown(home.left, left).get("description") == "of a person's own")
        await home.rest()
        home.forget()

        told = await typed(shell, "revert", "--since", since)
        assert told.returncode == 2
        assert right in told.stdout
        assert "name: Ada Lovelace -> Ada 0\n" in told.stdout
        assert [home.writes(each) for each in home.both] == [[], []]

        done = await typed(shell, "revert", "--since", since, "--yes", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        answer = msgspec.json.decode(done.stdout)
        assert (answer["plan"]["fields"], answer["plan"]["created"], answer["done"]["unanswered"]) == (3, 1, 0)
        await home.rest()
        # Each side was written exactly what went back, and nothing bounced.
        assert [len(home.writes(each)) for each in home.both] == [1, 2]
        assert (shown(home.left, left)["name"], shown(home.right, right)["name"]) == ("Ada Lovelace", "Ada 0")
        assert not shown(home.right, right).get("phone")
        assert not shown(home.left, left).get("description")
        assert shown(home.right, right)["description"] == "of a person's own"
        assert TRASH in shown(home.right, made[1])["metadata"]
        assert TRASH not in shown(home.left, made[0])["metadata"]
        await nothing_more(home)
        again = await typed(shell, "revert", "--since", since, "--yes")
        assert again.returncode == 0, again.stdout
        assert [home.writes(each) for each in home.both] == [[], []]
        clean = await typed(shell, "replay", "--repair")
        assert (clean.returncode, clean.stdout.splitlines()[-1].endswith("missing: nothing.")) == (0, True)

        home.left.dashboard.update(left, name="Ada Byron")
        await home.until(lambda: shown(home.right, right)["name"] == "Ada Byron")
        home.right.dashboard.update(right, phone="+12025550102")
        await home.until(lambda: shown(home.left, left).get("phone") == "+12025550102")
        await home.rest()

        # An edit that nobody told of: a fresh read finds it, and it flows as the rules say.
        home.right.webhooks.hold()
        home.right.dashboard.update(right, name="Behind Our Back")
        assert home.right.webhooks.discard() == 1
        home.right.webhooks.release()
        fresh = await typed(shell, "replay", "--repair", "--fresh", "--yes")
        assert fresh.returncode == 0, fresh.stdout + fresh.stderr
        await home.until(lambda: shown(home.left, left)["name"] == "Behind Our Back")
        await home.rest()
        assert (await typed(shell, "replay", "--repair")).returncode == 0
