"""`contactsync forget` while messages are taken in, where other people's rows name the person, and in old archives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from services.connectors import discover
from services.connectors.intake import Intake
from services.contracts.commands import Aim, Create, Version
from services.contracts.contact import Fields
from services.contracts.receipts import Refused
from services.runtime.clock import SystemClock
from services.runtime.log import Partition, Record, commands_topic
from services.runtime.metrics import Metrics
from services.runtime.store import Store
from services.runtime.suppression import Suppressions
from services.sync.core.state import Link, Merged
from services.sync.core.state import Record as Known
from services.sync.sweeper import Sweeper
from tests.integration.forget_rig import PHONE, TRACES, held, traces
from tests.integration.obedient import Apps, apps
from tests.integration.sync_messages import DAY, changed, message, shop
from tests.integration.test_hand_cli import Done, Shell, in_force, installation
from tests.integration.test_revert_cli import FILE

Eventually = Callable[..., Awaitable[None]]
GRACE: Fields = {**shop("Grace Quillfeather", "grace@quill.example"), "phone": (PHONE,)}
_AT_THE_GATE = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'
"""
_LINK_OF = "SELECT id::text FROM sync.link WHERE left_id = $1 AND status <> 'ended'"
_LINK = "SELECT state FROM sync.link WHERE id = $1::uuid"
_AS = "UPDATE sync.link SET state = $2 WHERE id = $1::uuid"
_STATE = "SELECT state FROM sync.contact WHERE contact_id = $1"


@pytest.fixture
def shell(tmp_path: Path, database: str) -> Iterator[Shell]:
    """A command line on the test's own database, with its connection in force."""
    with in_force(tmp_path, database, FILE, "--offline") as made:
        yield made


@asynccontextmanager
async def known(store: Store) -> AsyncIterator[Apps]:
    """Two people in step, one of them to be forgotten."""
    manifests = {name: app.manifest for name, app in discover().items()}
    async with installation(store) as (made, _):
        await made.log.create_topics({commands_topic("stripe"): 2})
        made.sweeper = Sweeper(store, manifests, lambda: None)
        beside = await apps(made)
        await beside.edit("shop", "cus_grace", GRACE)
        await beside.edit("shop", "cus_ada", shop("Ada", "ada@example.com"))
        await beside.scanned("shop", "till")
        await beside.rest()
        assert await traces(store) != []
        yield beside


def audited(shell: Shell, *arguments: str) -> None:
    done = shell.run("replay", "--audit", *arguments)
    assert (done.returncode, "differences=0" in done.stdout) == (0, True), done


def forgotten(shell: Shell, *arguments: str) -> Done:
    done = shell.run("forget", "grace@quill.example", "--yes", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert not any(text in done.stdout for text in TRACES)
    return done


def create(link: str) -> Record:
    """A command that was read before its person was forgotten."""
    aim = Aim(link=link, side="right", account="till", connection="shop-till", config_version=1, version=Version(1, 99))
    posted = message(Create(aim=aim, fields=GRACE))
    place = Partition(commands_topic("stripe"), 0)
    return Record(partition=place, offset=10_000, key=posted.key, headers=posted.headers, value=posted.value, time=DAY)


async def test_g7_messages_that_are_taken_in_meanwhile_leave_nothing(
    shell: Shell, store: Store, eventually: Eventually
) -> None:
    async def waiting(count: int) -> None:
        async def there() -> bool:
            return bool(await store.fetchval(_AT_THE_GATE) == count)

        await eventually(there)

    async with known(store) as beside:
        link = await store.fetchval(_LINK_OF, "cus_grace")
        intake = Intake("stripe", store, SystemClock(), lambda _: None, Metrics())

        async def commanded() -> frozenset[str]:
            async with store.transaction() as database:
                return await intake.take(database, [create(link)])

        async with store.transaction() as somebody:
            await Suppressions().held(somebody)
            forgetting = asyncio.create_task(asyncio.to_thread(forgotten, shell))
            await waiting(1)
            more = changed("shop", "cus_grace", {**GRACE, "description": ("More of Quillfeather",)}, at=10_000)
            taking = asyncio.create_task(beside._take(beside.events, more))
            await waiting(2)
            commanding = asyncio.create_task(commanded())
            await waiting(3)
        await forgetting
        await taking
        assert await commanding == frozenset()
        assert await traces(store) == []
        assert await store.fetchval("SELECT count(*) FROM sync.contact WHERE contact_id = 'cus_grace'") == 0
        assert await store.fetchval("SELECT count(*) FROM connectors.ledger") == 0

        # What was published while nobody had seen yet that they are forgotten is emptied when it is read.
        await beside._take(beside.events, msgspec.structs.replace(more, contact_id="cus_another"))
        assert await traces(store) == []
        assert await beside.rest() == []
        await asyncio.to_thread(audited, shell)


async def parted(beside: Apps, shell: Shell, left: str, right: str) -> None:
    """A person links two contacts, whose values the app refuses to take, and thinks better of it."""
    await asyncio.to_thread(shell.answer, "link", left, right)
    beside.instead = Refused(reason="no")
    await beside.rest()
    beside.instead = None
    await asyncio.to_thread(shell.answer, "unlink", right)


async def test_g7_other_people_stay_and_their_rows_do_not_name_a_forgotten_person(shell: Shell, store: Store) -> None:
    async with known(store) as beside:
        # Zed was parted from Zoe and from Gwen, while he had an address that is Gwen's now.
        await beside._take(beside.events, changed("till", "cus_zed", shop("Zed", "old@quill.example"), at=500))
        await beside._take(beside.events, changed("shop", "cus_zoe", shop("Zoe", "zoe@example.com"), at=500))
        await beside._take(beside.events, changed("shop", "cus_gwen", shop("Gwen Hollow", "gwen@example.com"), at=500))
        await parted(beside, shell, "cus_zoe", "cus_zed")
        await parted(beside, shell, "cus_gwen", "cus_zed")
        await beside._take(beside.events, changed("till", "cus_zed", shop("Zed", "zed@example.com"), at=600))
        await beside._take(beside.events, changed("shop", "cus_gwen", shop("Gwen Hollow", "old@quill.example"), at=600))
        zed = msgspec.json.decode(await store.fetchval(_STATE, "cus_zed"), type=Known)
        assert {each.contact_id: each.rests for each in zed.apart} == {
            "cus_zoe": ("old@quill.example",),
            "cus_gwen": ("old@quill.example",),
        }
        done = await asyncio.to_thread(shell.run, "forget", "cus_gwen", "--yes")
        assert done.returncode == 0, done
        assert "cus_zed" not in done.stdout
        assert await traces(store, "Hollow", "gwen@example.com") == await traces(store)
        # What Zed himself was while he had the address stays in what was said and taken in of him then.
        found = {text.split(":")[0] for text in await traces(store, "old@quill.example") if "old@" in text}
        assert found <= {"log.record", "sync.input", "sync.input_default"}
        zed = msgspec.json.decode(await store.fetchval(_STATE, "cus_zed"), type=Known)
        assert [(each.contact_id, each.rests) for each in zed.apart] == [("cus_zoe", ())]
        await asyncio.to_thread(audited, shell)


async def test_g7_what_was_merged_into_somebody_else_does_not_name_a_forgotten_person(
    shell: Shell, store: Store
) -> None:
    async with known(store):
        ada = await store.fetchval(_LINK_OF, "cus_ada")
        state = msgspec.json.decode(await store.fetchval(_LINK, ada), type=Link)
        merged = replace(state, merged=Merged(ada, ("grace@quill.example", "ada@example.com")))
        await store.execute(_AS, ada, msgspec.json.encode(merged).decode())
        await asyncio.to_thread(forgotten, shell)
        assert await traces(store) == []
        stored = await store.fetchval(_LINK, ada)
        assert msgspec.json.decode(stored, type=Link).merged == Merged(ada, ("ada@example.com",))


async def test_g7_archives_are_rewritten_when_the_person_is_forgotten_already(
    shell: Shell, store: Store, tmp_path: Path
) -> None:
    async with known(store) as beside:
        await asyncio.to_thread(shell.answer, "export", "folder")
        await asyncio.to_thread(shell.answer, "export", "one.zst")
        await beside.edit("shop", "cus_grace", {"description": ("Quillfeather, once more",)})
        await beside.rest()
    forgotten(shell, "--archive", "one.zst")
    assert not held(tmp_path / "one.zst")
    assert held(tmp_path / "folder")
    again = forgotten(shell, "--archive", "folder", "--archive", "one.zst")
    assert "They were forgotten before" in again.stdout
    assert "one.zst: 0 lines were rewritten" in again.stdout
    assert not held(tmp_path / "folder")
    assert forgotten(shell, "--archive", "folder").stdout.startswith("folder: 0 lines were rewritten")
    # They go on: what comes later is added, and the person is in none of it.
    shell.answer("export", "folder")
    assert not held(tmp_path / "folder")
    audited(shell, "--archive", "folder")
    audited(shell)
