"""What waits for a person, and what `status` counts (B10, E6, G1), on real rows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from services.contracts.commands import Create, Update
from services.contracts.contact import Fields, PersonName
from services.contracts.receipts import Receipt, Refused
from services.runtime.log import RECEIPTS
from services.runtime.store import Store
from services.sync import control
from services.sync.control import HeldChange
from services.sync.core.state import Link
from services.sync.health import ConnectionHealth, health
from tests.integration.sync_messages import changed, deleted, of, one, shop, writes, written
from tests.integration.sync_rig import MANIFESTS, Owner, Rig, active, rig


@dataclass
class Held:
    made: Rig
    events: Owner
    receipts: Owner
    link: Link

    async def mail(self, address: str, *, at: float) -> None:
        """Somebody changes the e-mail address in the office."""
        fields: Fields = {"n": (PersonName(given="Ada"),), "email": (address,)}
        await self.events.take(changed("office", self.link.right.contact_id or "", fields, at=at))


async def held(made: Rig) -> Sequence[HeldChange]:
    async with made.store.transaction() as database:
        return await control.held(database)


async def with_a_hold(made: Rig) -> tuple[Held, HeldChange]:
    events, receipts = await made.own(), await made.own(RECEIPTS)
    scene = Held(made, events, receipts, await active(made, events, receipts))
    await scene.mail("ada.king@example.com", at=100)
    assert not writes(await made.commands())
    (change,) = await held(made)
    assert (change.account, change.contact, change.line) == ("shop", "cus", "email")
    return scene, change


async def test_b10_an_approved_change_is_written_once(store: Store) -> None:
    async with rig(store) as made:
        scene, change = await with_a_hold(made)
        assert await control.approve(store, MANIFESTS, change)
        assert not await control.approve(store, MANIFESTS, change)
        assert not await held(made)
        update = one(await made.drain(), Update)
        assert update.fields == {"email": ("ada.king@example.com",)}
        await scene.receipts.take(written(update, at=110, fields=shop("Ada", "ada.king@example.com")))
        await made.sweep()
        assert not writes(await made.drain())
        assert "approved" in {row["outcome"] for row in await made.journal() if row["input"] == "person"}


async def test_b10_two_people_who_approve_at_once_lead_to_one_write(store: Store) -> None:
    async with rig(store) as made:
        _, change = await with_a_hold(made)
        said = await asyncio.gather(*(control.approve(store, MANIFESTS, change) for _ in range(4)))
        assert sorted(said) == [False, False, False, True]
        assert len(of(await made.commands(), Update)) == 1


async def test_b10_an_approval_of_a_value_that_has_changed_meanwhile_is_refused(store: Store) -> None:
    async with rig(store) as made:
        scene, stale = await with_a_hold(made)
        await scene.mail("countess@example.com", at=200)
        assert not await control.approve(store, MANIFESTS, stale)
        assert not await control.reject(store, MANIFESTS, stale)
        assert not writes(await made.commands())
        (fresh,) = await held(made)
        assert fresh.value == "countess@example.com"
        assert await control.approve(store, MANIFESTS, fresh)
        assert one(await made.drain(), Update).fields == {"email": ("countess@example.com",)}


async def test_b10_an_approval_during_the_change_is_refused(store: Store) -> None:
    async with rig(store) as made:
        scene, stale = await with_a_hold(made)
        async with made.holding("LOCK TABLE sync.journal IN SHARE MODE") as holder:
            changing = asyncio.create_task(scene.mail("countess@example.com", at=200))
            await made.waiting_for(holder)
            approving = asyncio.create_task(control.approve(store, MANIFESTS, stale))
            await made.locked(2)
        await changing
        assert not await approving
        assert not writes(await made.commands())


async def test_b10_a_value_taken_back_no_longer_waits(store: Store) -> None:
    async with rig(store) as made:
        scene, stale = await with_a_hold(made)
        await scene.mail("cus@example.com", at=200)
        assert not await held(made)
        assert not await control.approve(store, MANIFESTS, stale)
        assert not writes(await made.commands())


async def test_p3_a_rejection_makes_the_present_values_the_base(store: Store) -> None:
    async with rig(store) as made:
        scene, change = await with_a_hold(made)
        assert await control.reject(store, MANIFESTS, change)
        assert not await held(made)
        link = await made.link()
        assert (link.base["email"].left, link.base["email"].right) == ("cus@example.com", "ada.king@example.com")
        await made.make_due()
        await made.sweep()
        assert not writes(await made.commands())
        await scene.mail("countess@example.com", at=300)
        assert [each.value for each in await held(made)] == ["countess@example.com"]


async def test_b10_what_waits_survives_a_restart(database: str, store: Store) -> None:
    async with rig(store) as made:
        _, change = await with_a_hold(made)
        async with Store.open(database) as restarted:
            async with restarted.transaction() as connection:
                assert list(await control.held(connection)) == [change]
            assert await control.approve(restarted, MANIFESTS, change)
        assert len(of(await made.commands(), Update)) == 1


async def test_b10_an_approval_while_paused_is_written_after_the_pause(store: Store) -> None:
    async with rig(store) as made:
        _, change = await with_a_hold(made)
        await store.execute("UPDATE registry.connection SET paused_at = now()")
        assert await control.approve(store, MANIFESTS, change)
        assert not writes(await made.commands())
        await store.execute("UPDATE registry.connection SET paused_at = NULL")
        await made.sweep()
        assert one(await made.drain(), Update).fields == {"email": ("ada.king@example.com",)}


async def healths(made: Rig) -> ConnectionHealth:
    async with made.store.transaction() as database:
        (found,) = await health(database)
    return found


async def test_g1_every_link_is_counted_somewhere(store: Store) -> None:
    async with rig(store) as made:
        scene, _ = await with_a_hold(made)
        for name in ("step", "refuse", "writing", "gone"):
            await active(made, scene.events, scene.receipts, name)
        links = {link.left.contact_id: link for link in await made.links()}
        await scene.events.take(
            changed("shop", "refuse", shop("No", "refuse@example.com"), at=50),
        )
        update = one(await made.drain(), Update)
        await scene.receipts.take(Receipt(aim=update.aim, outcome=Refused(reason="no", fields=("n",))))
        await scene.events.take(
            changed("shop", "writing", shop("W", "writing@example.com"), at=50),
            changed("shop", "twin", shop("Twin", "step@example.com"), at=50),
            changed("shop", "nobody", {"name": ("No address",)}, at=50),
            changed("shop", "new", shop("New", "new@example.com"), at=50),
            deleted("office", links["gone"].right.contact_id or "", at=50),
        )
        counted = await healths(made)
        waiting = sum(each.count for each in counted.waiting)
        assert (counted.in_sync, counted.held, counted.failed, counted.duplicate, counted.excluded) == (1, 1, 1, 1, 1)
        assert counted.writing == 2
        assert waiting == 1
        total = await store.fetchval("SELECT count(*) FROM sync.link WHERE status <> 'ended'")
        disjoint = counted.in_sync + counted.held + counted.failed + counted.duplicate + counted.excluded
        assert disjoint + counted.writing + waiting + counted.deleted == total
        assert all(each.next for each in counted.waiting)
        assert len(of(await made.drain(), Create)) == 1
        await made.pass_time(10)
        await made.sweep()
        after = await healths(made)
        assert after.deleted == 1
        assert not after.waiting
