"""Linking, unlinking, duplicates and retrying by hand, on real rows and beside real workers (C4, C7, G2)."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from services.contracts.commands import Create, Update
from services.contracts.contact import Fields, PersonName
from services.contracts.receipts import Receipt, Refused
from services.runtime.log import RECEIPTS
from services.runtime.store import Store
from services.sync.core.hand import Linked, Not, Unlinked
from services.sync.core.state import Link
from services.sync.hand import duplicates, links, refused
from services.sync.hand.duplicates import Contact
from tests.integration.sync_messages import changed, deleted, of, one, shop, writes, written
from tests.integration.sync_rig import MANIFESTS, PAIR, Owner, Rig, active, rig


def card(address: str, *more: str) -> Fields:
    return {"n": (PersonName(given="Ada"),), "email": (address, *more)}


async def pair_of(made: Rig, contact_id: str) -> Link:
    (found,) = [each for each in await made.links() if each.left.contact_id == contact_id]
    return found


async def strangers(made: Rig, *cards: str) -> tuple[Owner, Owner]:
    """A shop's contact and an office's, without a common address; nothing was made, since no scan had ended."""
    events, receipts = await made.own(), await made.own(RECEIPTS)
    await events.take(changed("shop", "cus", shop("Ada", "ada@example.com")))
    for name in cards:
        await events.take(changed("office", name, card(f"{name}@example.com")))
    assert not writes(await made.drain())
    await made.store.execute("UPDATE sync.account SET scanned_at = now()")
    return events, receipts


async def test_c7_a_pair_by_hand_survives_rescans_configs_and_a_restart(database: str, store: Store) -> None:
    async with rig(store, scanned=False) as made:
        events, receipts = await strangers(made, "card")
        said = await links.link(store, MANIFESTS, PAIR, "cus", "card")
        assert isinstance(said, Linked)
        for update in of(await made.drain(), Update):
            await receipts.take(written(update, at=10, fields={**card("card@example.com"), **update.fields}))
        async with Store.open(database) as restarted:
            again = await links.link(restarted, MANIFESTS, PAIR, "cus", "card")
            assert again == Linked(link=said.link, already=True)
        await made.connect(PAIR)
        await made.sweep()
        await events.take(
            changed("shop", "cus", shop("Ada", "ada@example.com"), at=100, scan=2),
            changed("office", "card", card("card@example.com"), at=100, scan=2),
        )
        await made.sweep()
        assert not of(await made.commands(), Create)
        link = await made.link()
        assert (link.id, link.status, link.right.contact_id) == (said.link, "active", "card")
        told = [(row["outcome"], row["cause"]) for row in await made.journal() if row["input"] == "person"]
        assert ("link", "link cus card") in told


async def test_c7_an_unlinked_pair_survives_rescans_configs_restarts_and_replayed_events(
    database: str, store: Store
) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        link = await active(made, events, receipts)
        right = link.right.contact_id or ""
        said = await links.unlink(store, MANIFESTS, PAIR, link.id)
        assert said == Unlinked(left="cus", right=right)
        assert await links.unlink(store, MANIFESTS, PAIR, link.id) == Not(why="apart")
        async with Store.open(database) as restarted:
            made.worker._store = restarted
            await made.connect(PAIR)
            await made.sweep()
            mine, theirs = shop("Ada", "cus@example.com"), card("cus@example.com")
            for at in (100, 0, 100, 200):
                await events.take(
                    changed("shop", "cus", mine, at=at, scan=at), changed("office", right, theirs, at=at, scan=at)
                )
                await made.sweep()
            made.worker._store = store
        await made.pass_time(86_400)
        await made.sweep()
        assert not writes(await made.commands())
        assert {each.status for each in await made.links()} == {"outside"}
        assert "unlink" in {row["outcome"] for row in await made.journal() if row["input"] == "person"}
        assert isinstance(await links.link(store, MANIFESTS, PAIR, "cus", right), Linked)
        assert (await made.link()).right.contact_id == right


async def test_c7_a_link_by_hand_waits_for_the_write_under_way(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        link = await active(made, events, receipts)
        await events.take(changed("shop", "cus", shop("Countess", "cus@example.com"), at=50))
        update = one(await made.drain(), Update)
        before = await made.content()
        assert await links.unlink(store, MANIFESTS, PAIR, link.id) == Not(why="writing")
        assert await made.content() == before
        await receipts.take(written(update, at=60))
        assert isinstance(await links.unlink(store, MANIFESTS, PAIR, link.id), Unlinked)


async def test_p0_a_persons_word_and_an_event_take_turns(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        link = await active(made, events, receipts)
        async with made.holding("LOCK TABLE sync.journal IN SHARE MODE") as holder:
            fields = shop("Countess", "cus@example.com")
            changing = asyncio.create_task(events.take(changed("shop", "cus", fields, at=50)))
            await made.waiting_for(holder)
            parting = asyncio.create_task(links.unlink(store, MANIFESTS, PAIR, link.id))
            await made.locked(2)
        await changing
        assert await parting == Not(why="writing")
        assert len(of(await made.drain(), Update)) == 1


async def test_c7_people_who_link_one_contact_to_several_at_once_leave_one_pair(store: Store) -> None:
    async with rig(store, scanned=False) as made:
        names = [f"card{number}" for number in range(4)]
        await strangers(made, *names)
        said = await asyncio.gather(*(links.link(store, MANIFESTS, PAIR, "cus", name) for name in names))
        assert any(isinstance(each, Linked) for each in said)
        (pair,) = [each for each in await made.links() if each.left.contact_id == "cus"]
        assert pair.right.contact_id in names
        rows = await store.fetchval("SELECT count(*) FROM sync.link WHERE right_id LIKE 'card%' AND status <> 'ended'")
        assert rows == 4


async def test_c7_a_contact_of_a_pair_is_linked_with_another_and_its_partner_is_alone(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        link = await active(made, events, receipts)
        await events.take(changed("office", "other", card("cus@example.com", "x@example.com"), at=50))
        assert {each.status for each in await made.links()} == {"active", "duplicate"}
        said = await links.link(store, MANIFESTS, PAIR, "cus", "other")
        assert said == Linked(link=link.id, left_alone=(("right", link.right.contact_id or ""),))
        await made.sweep()
        assert not of(await made.commands(), Create)
        (found,) = await listed(store)
        assert found.contact.contact_id == link.right.contact_id


async def listed(store: Store, connection: str | None = None) -> list[duplicates.Duplicate]:
    async with store.transaction(readonly=True) as database:
        return list(await duplicates.duplicates(database, connection))


async def test_c4_duplicates_are_listed_with_who_is_in_the_way_and_what_ends_it(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        link = await active(made, events, receipts)
        right = Contact(account="office", contact_id=link.right.contact_id or "")
        await events.take(
            changed("shop", "twin", shop("Twin", "cus@example.com"), at=50),
            changed("shop", "fine", {"name": ("No address",)}, at=50),
        )
        (twin,) = await listed(store)
        assert (twin.kind, twin.contact) == ("shares", Contact(account="shop", contact_id="twin"))
        assert (twin.blocker, twin.partner) == (Contact(account="shop", contact_id="cus"), right)
        assert (twin.address, twin.ends) == ("cus@example.com", "delete cus or change one's address")
        assert await listed(store, "pair") == [twin]
        assert not await listed(store, "another")
        await events.take(
            changed("office", right.contact_id, card("cus@example.com", "alt@example.com"), at=100),
            changed("shop", "alt", shop("Alt", "alt@example.com"), at=100),
        )
        assert not writes(await made.drain())
        _, alt = await listed(store)
        assert (alt.kind, alt.blocker, alt.partner) == ("taken", right, twin.blocker)
        assert alt.ends.endswith(f"or `contactsync link alt {right.contact_id}`")
        assert isinstance(await links.link(store, MANIFESTS, PAIR, "alt", right.contact_id), Linked)
        assert "alt" not in {each.contact.contact_id for each in await listed(store)}


async def test_c4_the_survivor_of_a_merge_is_listed_as_such(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        kept, merged = [await active(made, events, receipts, name) for name in ("kept", "merged")]
        heir = kept.right.contact_id or ""
        await events.take(
            deleted("office", merged.right.contact_id or "", at=50),
            changed("office", heir, card("kept@example.com", "merged@example.com"), at=50),
        )
        await made.pass_time(10)
        await made.sweep()
        (found,) = await listed(store)
        assert (found.kind, found.contact.contact_id) == ("merged", "merged")
        assert heir in {found.blocker and found.blocker.contact_id, found.partner and found.partner.contact_id}


async def with_a_refusal(made: Rig, name: str = "cus") -> tuple[Owner, Update]:
    events, receipts = await made.own(), await made.own(RECEIPTS)
    await active(made, events, receipts, name)
    await events.take(changed("shop", name, shop("No", f"{name}@example.com"), at=50))
    update = one(await made.drain(), Update)
    await receipts.take(Receipt(aim=update.aim, outcome=Refused(reason="no", fields=("n",))))
    await made.sweep()
    assert not writes(await made.drain())
    return receipts, update


async def test_g2_a_retry_sends_what_was_refused_once_more(store: Store) -> None:
    async with rig(store) as made:
        _, update = await with_a_refusal(made)
        link = await made.link()
        assert await refused.retry(store, MANIFESTS, [link.id]) == refused.Retried(refusals=1, links=1)
        assert await refused.retry(store, MANIFESTS, [link.id]) == refused.Retried()
        assert one(await made.drain(), Update).fields == update.fields
        assert "retry" in {row["outcome"] for row in await made.journal() if row["input"] == "person"}
        assert await store.fetchval("SELECT refusals FROM sync.link") == 0


async def test_g2_a_retry_of_all_takes_each_link_once(store: Store) -> None:
    async with rig(store) as made:
        for name in ("one", "two", "three"):
            await with_a_refusal(made, name)
        assert await refused.retry_all(store, MANIFESTS, "another") == refused.Retried()
        assert await refused.retry_all(store, MANIFESTS, "pair") == refused.Retried(refusals=3, links=3)
        assert len(of(await made.drain(), Update)) == 3


async def test_g2_what_could_not_be_reconsidered_is_tried_again_on_demand(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        link = await active(made, events, receipts)
        sound = await store.fetchval("SELECT state FROM sync.link")
        await store.execute("UPDATE sync.link SET state = '{}'")
        await made.connect(PAIR)
        await made.sweep()
        assert await store.fetchval("SELECT id FROM sync.stuck") == link.id
        await store.execute("UPDATE sync.link SET state = $1", sound)
        await made.sweep()
        assert await store.fetchval("SELECT config_version FROM sync.link") == 1
        assert await refused.retry_all(store, MANIFESTS, None) == refused.Retried(stuck=1)
        await made.sweep()
        assert await store.fetchval("SELECT config_version FROM sync.link") == 2
        assert await store.fetchval("SELECT count(*) FROM sync.stuck") == 0


@pytest.mark.parametrize("paused", [False, True])
async def test_c7_unlinking_needs_no_running_and_no_unpaused_connection(store: Store, paused: bool) -> None:
    async with rig(store, replace(PAIR, direction="left_to_right")) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        link = await active(made, events, receipts)
        if paused:
            await store.execute("UPDATE registry.connection SET paused_at = now()")
        assert isinstance(await links.unlink(store, MANIFESTS, PAIR, link.id), Unlinked)
        await store.execute("UPDATE registry.connection SET paused_at = NULL")
        await made.sweep()
        assert not writes(await made.commands())
        assert len(await made.links()) == 2
