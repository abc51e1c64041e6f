"""`contactsync revert` and `contactsync replay --repair` as a person types them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.connectors import discover
from services.runtime.log import commands_topic
from services.runtime.store import Store
from services.sync.sweeper import Sweeper
from tests.integration.obedient import Apps, apps
from tests.integration.sync_messages import shop
from tests.integration.sync_rig import Rig
from tests.integration.test_hand_cli import Done, Shell, in_force, installation

FILE = """\
accounts:
  shop: {app: stripe, api_key: rk_test_1, webhook_secrets: [whsec_1]}
  till: {app: stripe, api_key: rk_test_2, webhook_secrets: [whsec_1]}
connections:
  shop-till:
    left: shop
    right: till
"""
MORE = """\
    mappings:
      - {left: phone, right: metadata.tel, direction: left_to_right}
      - {default: phone, enabled: false}
"""


@pytest.fixture
def shell(tmp_path: Path, database: str) -> Iterator[Shell]:
    """A command line on the test's own database, with its connection in force."""
    (tmp_path / "more.yaml").write_text(FILE + MORE)
    with in_force(tmp_path, database, FILE, "--offline") as made:
        yield made


async def typed(beside: Apps, shell: Shell, *arguments: str) -> Done:
    """What a command says while the apps answer."""
    async with beside.working():
        return await asyncio.to_thread(shell.run, *arguments)


@asynccontextmanager
async def in_step(store: Store) -> AsyncIterator[tuple[Rig, Apps]]:
    """Two pairs that are in step, and the accounts that they are in."""
    manifests = {name: app.manifest for name, app in discover().items()}
    async with installation(store) as (made, _):
        await made.log.create_topics({commands_topic("stripe"): 2})
        made.sweeper = Sweeper(store, manifests, lambda: None)
        beside = await apps(made)
        for number in range(2):
            ada = {**shop("Ada", f"ada{number}@example.com"), "phone": ("+12025550101",)}
            await beside.edit("shop", f"cus_shop{number}", ada)
            await beside.edit("till", f"cus_till{number}", ada)
        await beside.scanned("shop", "till")
        yield made, beside


async def test_g6_an_applied_file_is_taken_back_planned_first_then_asked_then_done(shell: Shell, store: Store) -> None:
    async with in_step(store) as (_, beside):
        plan = msgspec.json.decode(shell.run("plan", "more.yaml", "--offline", "--json").stdout)
        shell.answer("apply", "--offline", "more.yaml", "--plan", plan["id"])
        await beside.rest()
        assert beside.held["till", "cus_till1"].fields["metadata.tel"] == ("+12025550101",)

        unasked = shell.run("revert", "--config", "2")
        assert unasked.returncode == 2
        assert "cus_till1 (shop-till)\n  metadata.tel: +12025550101 -> (empty)\n" in unasked.stdout
        assert "nothing was done. Add --yes" in unasked.stderr
        told = answer(shell.run("revert", "--config", "2", "--json"))
        assert (told["plan"]["fields"], told["plan"]["contacts"], told["done"]) == (2, 2, None)
        assert beside.held["till", "cus_till0"].fields["metadata.tel"] == ("+12025550101",)

        done = await typed(beside, shell, "revert", "till/cus_till0", "--config", "2", "--yes")
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "1 of 1 writes are in the apps.")
        narrow = "--connection", "shop-till", "--line", "metadata.tel", "--since", "1h"
        told = answer(await typed(beside, shell, "revert", *narrow, "--yes", "--json"))
        assert (told["plan"]["contacts"], told["done"]["answers"]) == (1, {"written": 1})
        for number in range(2):
            assert beside.held["till", f"cus_till{number}"].fields["metadata.tel"] == ()
        assert await beside.rest() == []
        assert shell.answer("revert", "--config", "2") == "There is nothing to take back.\n"
        assert "a person took back what contactsync had written" in shell.answer("explain", "till/cus_till0")
    failing: dict[tuple[str, ...], str] = {
        (): "Say what is to be taken back",
        ("--rule", "1", "--since", "1h"): "add --connection NAME",
        ("--connection", "shop-tiel"): "Did you mean shop-till?",
        ("--connection", "shop-till", "--rule", "9"): "shop-till has no rule 9",
        ("--config", "9"): "No file was applied as version 9.",
        ("--since", "yesterday"): "yesterday is no time.",
        ("nobody@example.com",): "There is no contact nobody@example.com",
    }
    for arguments, said in failing.items():
        refused = shell.run("revert", *arguments)
        assert refused.returncode != 0, arguments
        assert said in refused.stderr, (arguments, refused.stderr)


async def test_g5_repair_shows_what_is_missing_asks_and_sends_only_that(shell: Shell, store: Store) -> None:
    async with in_step(store) as (_, beside):
        clean = shell.run("replay", "--repair")
        assert (clean.returncode, clean.stdout) == (
            0,
            "2 pairs decided anew from what is last known; missing: nothing.\n",
        )
        await store.execute(
            "UPDATE sync.contact SET state = replace(state::text, 'Ada', 'Eve')::json WHERE contact_id = 'cus_shop0'"
        )
        unasked = shell.run("replay", "--repair")
        assert unasked.returncode == 2
        assert "update till cus_till0 name: Ada -> Eve" in unasked.stdout
        healed = await typed(beside, shell, "replay", "--repair", "--connection", "shop-till", "--yes")
        assert (healed.returncode, healed.stdout.splitlines()[-1]) == (0, "1 commands were decided.")
        assert beside.held["till", "cus_till0"].fields["name"] == ("Eve",)
        assert shell.run("replay", "--repair", "--contact", "cus_till0").returncode == 0
        await store.execute("UPDATE sync.contact SET state = replace(state::text, 'Eve', 'Zoe')::json")
        await store.execute("UPDATE sync.contact SET state = replace(state::text, 'Ada', 'Zoe')::json")
        await store.execute(
            "UPDATE sync.contact SET state = replace(state::text, 'Zoe', 'Ida')::json WHERE account = 'shop'"
        )
        far = await typed(beside, shell, "replay", "--repair", "--yes")
        assert (far.returncode, far.stdout.count("update till")) == (1, 2)
        assert "2 of 2 pairs would be written to, the limit is 20 %. --yes isn't enough" in far.stderr
        near = await typed(beside, shell, "replay", "--repair", "--contact", "till/cus_till0", "--yes")
        assert near.returncode == 0, near.stdout + near.stderr
        names = [beside.held["till", f"cus_till{number}"].fields["name"] for number in range(2)]
        assert names == [("Ida",), ("Ada",)]


def answer(done: Done) -> Any:
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout)
