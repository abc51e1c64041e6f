"""Config, pause and direction while work is under way (P11)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from services.contracts.commands import Create, Update
from services.contracts.connection import Connection, MappingLine
from services.contracts.contact import PersonName
from services.contracts.receipts import Deferred, Receipt
from services.runtime.clock import SystemClock
from services.runtime.log import EVENTS, RECEIPTS
from services.runtime.registry import pause as pausing
from services.runtime.store import Store
from services.sync.configs import MissingAppError
from services.sync.sweeper import SEED_AGAIN
from services.sync.worker import Worker
from tests.core.bench import SHOP
from tests.integration.sync_messages import changed, deleted, of, one, shop, writes, written
from tests.integration.sync_rig import PAIR, Rig, active, rig

SECOND_PAIR = Connection(name="second-pair", left="shop", right="annex")
NAMELESS = replace(PAIR, mappings=(MappingLine(default="name", enabled=False),))


async def pause(made: Rig) -> None:
    async with made.store.transaction() as database:
        assert await pausing.pause(database, "pair", SystemClock().now()) == "done"


async def resume(made: Rig) -> None:
    async with made.store.transaction() as database:
        assert await pausing.resume(database, "pair") == "done"


async def test_p11_while_paused_all_is_taken_in_and_afterwards_only_the_newest_is_written(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        await active(made, events, receipts)
        await pause(made)
        for turn in range(1, 6):
            await events.take(changed("shop", "cus", shop(f"Ada {turn}", "cus@example.com"), at=100 * turn))
        await events.take(changed("shop", "new", shop("New", "new@example.com"), at=100))
        await made.sweep()
        assert not await made.commands()
        await resume(made)
        await made.sweep()
        commands = await made.drain()
        assert one(commands, Update).fields["n"] == (PersonName(given="Ada", family="5"),)
        assert one(commands, Create).addresses == ("new@example.com",)


async def test_p11_a_batch_that_saw_the_pause_and_ends_after_it_is_woken_too(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        await active(made, events, receipts)
        await pause(made)
        async with made.holding("SELECT FROM sync.address WHERE address = 'cus@example.com' FOR UPDATE") as holder:
            taking = asyncio.create_task(events.take(changed("shop", "cus", shop("Eve", "cus@example.com"), at=100)))
            await made.waiting_for(holder)
            await resume(made)
            await made.sweep()
        await taking
        for _ in range(3):
            await made.sweep()
        assert len(of(await made.commands(), Update)) == 1, (await made.link()).wait


async def test_p11_a_write_deferred_by_a_pause_goes_out_with_the_newest_value(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        await active(made, events, receipts)
        await events.take(changed("shop", "cus", shop("Eve", "cus@example.com"), at=100))
        update = one(await made.drain(), Update)
        await pause(made)
        await receipts.take(Receipt(aim=update.aim, outcome=Deferred(reason="paused")))
        await events.take(changed("shop", "cus", shop("Zoe", "cus@example.com"), at=110))
        await made.sweep()
        assert not await made.commands()
        await resume(made)
        await made.sweep()
        assert one(await made.drain(), Update).fields["n"] == (PersonName(given="Zoe"),)


async def test_p11_a_deferral_that_comes_after_the_resumption_is_decided_at_once(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        await active(made, events, receipts)
        await events.take(changed("shop", "cus", shop("Eve", "cus@example.com"), at=100))
        update = one(await made.drain(), Update)
        await pause(made)
        await resume(made)
        await made.sweep()
        await receipts.take(Receipt(aim=update.aim, outcome=Deferred(reason="paused")))
        again = one(await made.drain(), Update)
        assert again.aim.version > update.aim.version
        assert again.fields == update.fields


async def decided_under(made: Rig, version: int) -> bool:
    found = await made.store.fetchval("SELECT config_version FROM sync.link WHERE left_id = 'cus'")
    return bool(found == version)


async def test_p11_a_link_takes_no_decision_under_an_older_config_than_its_last(
    store: Store, eventually: Callable[..., Awaitable[None]]
) -> None:
    async with rig(store) as made:
        events, other, receipts = await made.own(), await made.own(EVENTS, 1), await made.own(RECEIPTS)
        await active(made, events, receipts)
        await events.take(changed("shop", "hold", shop("H", "a-hold@example.com")))
        await made.drain()
        async with made.holding("SELECT FROM sync.address WHERE address = 'a-hold@example.com' FOR UPDATE") as holder:
            # The first worker has read the old config and stands still.
            late = asyncio.create_task(
                events.take(
                    changed("shop", "hold", shop("H", "a-hold@example.com"), at=90),
                    changed("shop", "cus", shop("Eve", "cus@example.com"), at=100),
                )
            )
            await made.waiting_for(holder)
            await made.connect(NAMELESS)
            await store.execute("INSERT INTO sync.wake (link) SELECT id FROM sync.link WHERE left_id = 'cus'")
            sweeping = asyncio.create_task(made.sweep())
            await eventually(lambda: decided_under(made, 2))
        await asyncio.gather(late, sweeping)
        await other.take(changed("office", "x", {"email": ("x@example.com",)}))
        link = next(link for link in await made.links() if link.left.contact_id == "cus")
        assert link.config_version == 2
        assert not [update for update in of(await made.drain(), Update) if update.aim.config_version < 2]


async def test_p11_a_contact_taken_in_while_a_connection_begins_is_seen_by_it(store: Store) -> None:
    async with rig(store) as made:
        events = await made.own()
        async with made.holding("LOCK TABLE sync.journal IN SHARE MODE") as holder:
            # The batch has read the connections there are; the new one looks around before its contact is there.
            taking = asyncio.create_task(events.take(changed("shop", "late", shop("Late", "late@example.com"))))
            await made.waiting_for(holder)
            await made.connect(SECOND_PAIR)
            assert await made.sweep() == 0
        await taking
        seeded = made.sweeper._seeded
        seeded.update({name: (version, at - SEED_AGAIN) for name, (version, at) in seeded.items()})
        await made.sweep()
        assert [link.left.contact_id for link in await made.links("second-pair")] == ["late"]


async def test_p11_a_changed_direction_waits_for_the_write_under_way(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        link = await active(made, events, receipts)
        await events.take(changed("shop", "cus", shop("Eve", "cus@example.com"), at=100))
        update = one(await made.drain(), Update)
        await made.connect(replace(PAIR, direction="right_to_left"))
        await made.sweep()
        waiting = await made.link()
        assert waiting.wait is not None
        assert waiting.wait.reason == "config"
        assert waiting.direction == "two_way"
        await events.take(changed("shop", "cus", shop("Zoe", "cus@example.com"), at=110))
        assert not await made.commands()
        await receipts.take(written(update, at=120))
        await made.sweep()
        after = await made.link()
        assert after.direction == "right_to_left"
        # By the new source the left edit is undone.
        undoing = writes(await made.drain())
        assert [(each.aim.side, each.aim.config_version) for each in undoing] == [("left", 2)]
        right = link.right.contact_id or ""
        await events.take(
            changed("office", right, {"n": (PersonName(given="Max"),), "email": ("cus@example.com",)}, at=130)
        )
        assert {each.aim.side for each in writes(await made.drain())} <= {"left"}


@pytest.mark.parametrize("reason", ["config", "superseded"])
async def test_p11_a_write_under_an_older_config_is_decided_again_under_the_newer(store: Store, reason: str) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        await active(made, events, receipts)
        await events.take(changed("shop", "cus", shop("Eve", "cus@example.com", phone="+1 202 555 0101"), at=100))
        update = one(await made.drain(), Update)
        assert set(update.fields) == {"n", "tel"}
        await made.connect(NAMELESS)
        await made.sweep()
        await receipts.take(Receipt(aim=update.aim, outcome=Deferred(reason=reason)))  # type: ignore[arg-type]
        again = one(await made.drain(), Update)
        assert set(again.fields) == {"tel"}
        assert again.aim.config_version == 2


async def test_p11_a_removed_connection_decides_nothing_and_folds_its_receipts(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        await active(made, events, receipts)
        await events.take(changed("shop", "cus", shop("Eve", "cus@example.com"), at=100))
        update = one(await made.drain(), Update)
        await store.execute("UPDATE registry.connection SET removed_at = now()")
        await receipts.take(written(update, at=110))
        await events.take(changed("shop", "cus", shop("Zoe", "cus@example.com"), at=120))
        await events.take(changed("shop", "new", shop("New", "new@example.com"), at=120))
        await made.sweep()
        assert not await made.commands()
        assert not (await made.link()).unsettled
        await made.connect(PAIR)
        await store.execute("UPDATE registry.connection SET removed_at = NULL")
        await made.sweep()
        commands = await made.drain()
        assert one(commands, Update).fields["n"] == (PersonName(given="Zoe"),)
        assert one(commands, Create).addresses == ("new@example.com",)


async def test_p11_a_resumed_link_with_nothing_to_decide_comes_to_rest(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        await events.take(changed("shop", "cus", shop("Ada", "cus@example.com")))
        create = one(await made.drain(), Create)
        await pause(made)
        await events.take(deleted("shop", "cus", at=10))
        await resume(made)
        # Its create has no receipt yet, so that nothing can be decided about its deletion.
        await made.sweep()
        before = await made.content()
        assert not await made.sweeper.sweep()
        assert await made.content() == before
        await receipts.take(written(create, at=20))
        await made.pass_time(10)
        await made.sweep()
        assert not (await made.link()).unsettled or writes(await made.commands())


async def test_events_of_an_app_that_is_missing_here_stop_the_worker_and_are_taken_in_by_another(store: Store) -> None:
    async with rig(store, PAIR) as made:
        events = await made.own(EVENTS)
        poorer = Worker(store, made.log, {"shop_app": SHOP}, lambda: None)
        mine = await made.own(EVENTS, 1, worker=poorer)
        with pytest.raises(MissingAppError, match="annex is one of the app book_app"):
            await mine.take(changed("shop", "cus", shop("Ada", "ada@example.com")))
        assert await made.counts() == dict.fromkeys(await made.counts(), 0)
        await events.take(changed("shop", "cus", shop("Ada", "ada@example.com")))
        assert len(of(await made.drain(), Create)) == 1
