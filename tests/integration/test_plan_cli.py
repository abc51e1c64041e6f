"""`contactsync plan` and the gate of `apply`, as a person types them: readable, as JSON, a yes to one plan only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from services.runtime.log import EVENTS
from services.runtime.store import Store
from tests.integration.sync_messages import changed, scan_finished, shop
from tests.integration.sync_rig import PARTITIONS
from tests.integration.test_hand_cli import Shell, in_force, installation
from tests.integration.test_replay_audit import Place

FILE = """\
accounts:
  shop: {app: stripe, api_key: rk_test_1, webhook_secrets: [whsec_1]}
  till: {app: stripe, api_key: rk_test_2, webhook_secrets: [whsec_1]}
connections:
  shop-till:
    left: shop
    right: till
    mappings:
      - {default: phone, enabled: false}
      - {default: name, enabled: false}
"""
MISTAKE = FILE + "      - {left: name, right: phone, direction: left_to_right}\n"
PEOPLE = 6


@pytest.fixture
def shell(tmp_path: Path, database: str) -> Iterator[Shell]:
    """A command line on the test's own database, with its connection in force, in an empty installation."""
    with in_force(tmp_path, database, FILE, "--offline") as made:
        yield made


async def test_g3_a_mapping_mistake_that_would_overwrite_everybody_waits_for_a_yes(
    shell: Shell, store: Store, tmp_path: Path
) -> None:
    async with installation(store) as (made, events):
        await store.execute("INSERT INTO sync.account (account, scanned_at) SELECT name, now() FROM registry.account")
        for n in range(PEOPLE):
            await events.take(
                *(changed(on, f"{on}-{n}", shop(f"Ada {n}", f"a{n}@example.com")) for on in ("shop", "till"))
            )
        (tmp_path / "mistake.yaml").write_text(MISTAKE)
        before = await made.content()

        refused = shell.run("apply", "--offline", "mistake.yaml")
        assert refused.returncode == 1
        assert (
            f"{PEOPLE} of {PEOPLE} contacts in till would be overwritten or tagged: 100 %, the limit is 20 %."
            in refused.stderr
        )
        assert "Nothing was changed: so much waits for a yes." in refused.stderr
        assert "a0@example.com" not in refused.stderr
        assert await store.fetchval("SELECT max(version) FROM registry.config") == 1

        lines = shell.answer("plan", "--offline", "mistake.yaml", "--limit", "2").splitlines()
        id = lines[0].split()[1]
        assert "`--fresh` reads the apps first" in lines[1]
        assert f"shop-till: update {PEOPLE}" in lines
        at = lines.index("update till/till-0 (a0@example.com) [shop-till] for shop-0")
        assert lines[at + 1] == '    phone: (empty) -> "Ada 0"'
        assert lines[-1] == f"… {PEOPLE - 2} more: `--page 2`, or a higher `--limit`"
        told = msgspec.json.decode(
            shell.answer("plan", "--offline", "mistake.yaml", "--json", "--limit", "2", "--page", "3")
        )
        assert (told["id"], told["total"], len(told["would"])) == (id, PEOPLE, 2)
        assert told["counts"] == {"shop-till": {"update": PEOPLE}}
        assert await made.content() == before

        await events.take(changed("shop", "shop-0", shop("Eve", "a0@example.com"), at=100))
        stale = shell.run("apply", "--offline", "mistake.yaml", "--plan", id)
        assert stale.returncode == 1
        assert "has gone stale: nothing was changed" in stale.stderr
        assert "What would be written isn't the same any more" in stale.stderr
        assert shell.run("apply", "--offline", "mistake.yaml", "--plan", "yes").returncode == 2

        now = shell.answer("plan", "--offline", "mistake.yaml").split()[1]
        other = shell.run("apply", "--offline", "contacts.yaml", "--plan", now)
        assert "The file says something else" in other.stderr
        shell.answer("apply", "--offline", "mistake.yaml", "--plan", now)
        assert await store.fetchval("SELECT max(version) FROM registry.config") == 2
        # Back again: nothing would be overwritten, so nobody is asked.
        shell.answer("apply", "--offline", "contacts.yaml")


async def test_g5_a_person_reads_where_other_rules_would_have_led(shell: Shell, store: Store, tmp_path: Path) -> None:
    async with installation(store) as (made, events):
        place = Place(made, events)
        for n in range(PEOPLE):
            people = (changed(on, f"{on}-{n}", shop(f"Ada {n}", f"a{n}@example.com")) for on in ("shop", "till"))
            await place.take(*people)
        for account in ("shop", "till"):
            for number in range(PARTITIONS):
                lane = place if number == 0 else Place(made, await made.own(EVENTS, number))
                await lane.take(scan_finished(account))
        (tmp_path / "mistake.yaml").write_text(MISTAKE)
        before = await made.content()
        lines = shell.answer("replay", "--preview", "mistake.yaml", "--contact", "till-0").splitlines()
        assert lines[0].startswith("History up to ")
        assert lines[0].endswith(" ago, under mistake.yaml:")
        assert f"shop-till: update {PEOPLE} (happened: 0)" in lines
        assert "Otherwise: update 1" in lines
        at = lines.index("update till/till-0 (a0@example.com)")
        assert lines[at + 1] == '    phone: is (empty), would be "Ada 0"'
        assert lines[-1] == "Nothing was written."
        told = msgspec.json.decode(shell.answer("replay", "--preview", "mistake.yaml", "--json", "--limit", "2"))
        assert (told["total"], len(told["outlooks"]), told["counts"]["update"]) == (PEOPLE, 2, PEOPLE)
        assert "Every contact would be as it is." in shell.answer("replay", "--preview", "contacts.yaml")
        assert shell.run("replay", "--preview", "mistake.yaml", "--since", "2h").returncode == 2
        assert await made.content() == before
        assert await made.drain() == []
