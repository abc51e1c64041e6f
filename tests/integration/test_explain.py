"""Fails when `explain` doesn't tell what is, why, since when, where from and what comes next (G4), on real rows."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from services.contracts.commands import Create, Tag, Update
from services.contracts.connection import Connection, Options
from services.contracts.contact import Fields, PersonName, Subscription
from services.contracts.receipts import Receipt, Refused, Unknown, Written
from services.contracts.rule import FieldIs, Rule, SubscribedTo
from services.runtime.log import EVENTS, RECEIPTS
from services.runtime.store import Store
from services.sync.configs import read_configs
from services.sync.explain.find import meant
from services.sync.explain.report import Explanation, FieldTold
from services.sync.explain.tell import Window, explain
from services.sync.worker import Worker
from tests.core.bench import TRASH, order
from tests.integration.sync_messages import changed, deleted, message, of, one, shop, written
from tests.integration.sync_rig import MANIFESTS, PAIR, Rig, active, rig

MAIL = ("cus@example.com",)
KEPT = "both sides keep what they have since it was decided so; the next change of either counts"


async def asked(made: Rig, word: str, window: Window | None = None) -> Sequence[Explanation]:
    """What `explain` tells; asking leaves everything as it was."""
    before = await made.content()
    async with made.store.transaction("repeatable_read", readonly=True) as database:
        configs = await read_configs(database, MANIFESTS)
        found = await meant(database, configs, word)
        told = [await explain(database, configs, link, window or Window()) for link in found.links]
    assert await made.content() == before
    complete = [each for each in told if each is not None]
    assert len(complete) == len(told)
    assert msgspec.json.decode(msgspec.json.encode(complete), type=list[Explanation]) == complete
    return complete


async def only(made: Rig, word: str) -> Explanation:
    (told,) = await asked(made, word)
    return told


def field(told: Explanation, line: str) -> FieldTold:
    (found,) = [each for each in told.fields if each.line == line]
    return found


def card(name: PersonName, **more: str) -> Fields:
    return {"n": (name,), "email": MAIL, **{path: (value,) for path, value in more.items()}}


async def test_g4_an_excluded_contact_names_the_condition_that_failed_and_the_value_it_found(store: Store) -> None:
    rules = (
        Rule(
            source="left",
            conditions=(SubscribedTo(plan="price_pro"), FieldIs(path="name", operator="equals", values=("ada",))),
        ),
        Rule(source="right"),
    )
    async with rig(store, replace(PAIR, rules=rules)) as made:
        events = await made.own()
        basic = (Subscription(id="sub", status="active", plans=("price_basic",)),)
        await events.take(replace(changed("shop", "cus", shop("Ada", MAIL[0])), subscriptions=basic))
        told = await only(made, "shop/cus")
        assert told.status == told.next.status == "outside"
        (ruling,) = told.rules
        assert (ruling.side, ruling.holds) == ("left", False)
        (rule,) = ruling.rules
        assert [(each.condition, each.holds, each.found) for each in rule.grounds] == [
            ("is subscribed to price_pro", False, "subscriptions: price_basic (active)"),
            ("name equals ada", True, "name: Ada"),
        ]
        assert (told.next.outcome, told.next.commands) == ("outside", ())
        assert "rule 1 doesn't match: is subscribed to price_pro" in told.next.reason
        assert {each.state for each in told.fields} == {"alone"}
        assert told.timeline[0].told == "cus of shop was seen (webhook): email, name, subscriptions"
        pro = (Subscription(id="sub", status="active", plans=("price_pro",)),)
        await events.take(replace(changed("shop", "cus", shop("Ada", MAIL[0]), at=10), subscriptions=pro))
        told = await only(made, MAIL[0])
        assert [each.decisions[-1].outcome for each in told.timeline] == ["outside", "create"]
        assert told.rules[0].rules[0].holds is True


async def test_g4_each_field_tells_from_where_it_came_and_through_which_event(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        link = await active(made, events, receipts)
        card_id = link.right.contact_id or ""
        king = PersonName(given="Ada", family="King")
        await events.take(message(changed("shop", "cus", shop("Ada King", MAIL[0]), at=100), id="shop:evt_name"))
        update = one(await made.drain(), Update)
        during = await only(made, link.id)
        assert (field(during, "name").state, field(during, "phone").state) == ("writing", "same")
        assert during.right.write is not None
        assert during.right.write.lines == ("name",)
        # The echo comes first, then the receipt of the same request.
        echo = replace(changed("office", card_id, card(king), at=110), label="key-2", origin="feed")
        await events.take(message(echo, id="office:poll-7"))
        early = field(await only(made, link.id), "name").right.origin
        assert early is not None
        assert (early.by, early.event) == ("contactsync", "shop:evt_name")
        receipt = written(update, at=110, fields=card(king))
        assert isinstance(receipt.outcome, Written)
        await receipts.take(replace(receipt, outcome=replace(receipt.outcome, label="key-2")))
        phone = card(king, tel="+12025550101")
        await events.take(
            message(replace(changed("office", card_id, phone, at=200), origin="feed"), id="office:poll-9")
        )
        update = one(await made.drain(), Update)
        await receipts.take(written(update, at=210, fields=shop("Ada King", MAIL[0], phone="+12025550101")))
        told = await only(made, MAIL[0])
        assert {each.state for each in told.fields} == {"same"}
        name, number, mail = (field(told, line) for line in ("name", "phone", "email"))
        assert name.left.origin is not None
        assert name.right.origin is not None
        assert number.left.origin is not None
        assert number.right.origin is not None
        assert mail.right.origin is not None
        assert (name.left.origin.by, name.left.origin.event) == ("app", "shop:evt_name")
        assert (name.right.origin.by, name.right.origin.event, name.right.origin.write) == (
            "contactsync",
            "shop:evt_name",
            "1.2",
        )
        assert name.right.origin.told == "written by contactsync from shop's name"
        assert (number.right.origin.by, number.right.origin.event, number.right.origin.via) == (
            "app",
            "office:poll-9",
            "feed",
        )
        assert (number.left.origin.by, number.left.origin.event) == ("contactsync", "office:poll-9")
        assert (mail.right.origin.by, mail.right.origin.write) == ("contactsync", "1.1")
        assert field(told, "note").left.origin is None
        echoed = next(each for each in told.timeline if each.cause == "office:poll-7")
        assert echoed.told.endswith("; caused by our write 1.2")
        sent = [write for each in told.timeline for decision in each.decisions for write in decision.writes]
        assert [(write.account, write.kind, write.lines, write.answer) for write in sent] == [
            ("office", "create", ("email", "name"), "written"),
            ("office", "update", ("name",), "written"),
            ("shop", "update", ("phone",), "written"),
        ]
        assert [each.number for entry in told.timeline for each in entry.decisions] == sorted(
            each.number for entry in told.timeline for each in entry.decisions
        )
        short = (await asked(made, link.id, Window(most=1)))[0]
        assert short.timeline == told.timeline[-1:]
        assert short.left_out == len(told.timeline) - 1
        assert short.fields == told.fields


async def test_g4_what_is_held_refused_or_in_doubt_says_so_with_the_next_step_also_after_a_restart(
    store: Store,
) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        link = await active(made, events, receipts)
        card_id = link.right.contact_id or ""
        ada = card(PersonName(given="Ada"), email="ada.king@example.com", note="x" * 41)
        await events.take(changed("office", card_id, ada, at=100))
        told = await only(made, "ada.king@example.com")
        (held,) = told.left.held
        assert (held.what, held.value, held.approved) == ("email", "ada.king@example.com", False)
        assert f"contactsync held approve {held.id}" in field(told, "email").why
        assert (field(told, "email").state, field(told, "note").state) == ("held", "refused")
        assert "41 characters are more than the 40" in field(told, "note").why
        await events.take(changed("shop", "cus", shop("Ada King", MAIL[0], phone="+12025550101"), at=200))
        update = one(await made.drain(), Update)
        refusal = Refused(reason="this name isn't allowed", fields=("n",))
        await receipts.take(Receipt(aim=update.aim, outcome=refusal))
        again = one(await made.drain(), Update)
        assert set(again.fields) == {"tel"}
        await receipts.take(Receipt(aim=again.aim, outcome=Unknown(reason="no answer came", since=order(0).start)))
        told = await only(made, MAIL[0])
        assert [(each.what, each.reason) for each in told.right.refused] == [("name", "this name isn't allowed")]
        assert field(told, "name").why == "office doesn't take this value: this name isn't allowed"
        assert field(told, "phone").state == "writing"
        assert told.right.write is not None
        assert (told.right.write.kind, told.right.write.unknown) == ("update", "no answer came")
        assert "until that is known nothing else is written there" in told.right.write.next_step
        assert told.timeline[-1].told == "office answered write 1.3: nobody knows yet whether it was done"
        made.worker = Worker(store, made.log, MANIFESTS, lambda: None)
        await made.own(EVENTS)
        after = await only(made, MAIL[0])
        assert replace(after, at=told.at) == told


async def test_g4_a_duplicate_and_a_deleted_contact_tell_what_stands_in_the_way_and_what_was_tagged(
    store: Store,
) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        link = await active(made, events, receipts)
        await events.take(changed("shop", "twin", shop("Twin", MAIL[0]), at=50))
        pair, twin = await asked(made, MAIL[0])
        assert (pair.link, twin.status) == (link.id, "duplicate")
        assert twin.wait is not None
        assert (twin.wait.reason, twin.wait.on) == ("duplicate", link.id)
        assert "contactsync duplicates" in twin.wait.next_step
        assert [each.decisions[-1].outcome for each in twin.timeline] == ["duplicate"]
        await events.take(deleted("shop", "twin", at=60), deleted("office", link.right.contact_id or "", at=70))
        told = await only(made, "shop/cus")
        assert told.wait is not None
        assert (told.status, told.wait.reason, told.right.state) == ("active", "merge", "deleted")
        assert told.wait.until is not None
        await made.pass_time(3)
        told = await only(made, "shop/cus")
        assert told.next.outcome == "tag"
        assert [(each.kind, each.contact, each.tag, each.account) for each in told.next.commands] == [
            ("tag", "cus", TRASH, "shop")
        ]
        await made.sweep()
        (tag,) = of(await made.drain(), Tag)
        receipt = written(tag, at=90, fields=shop("Ada", MAIL[0]))
        assert isinstance(receipt.outcome, Written)
        assert receipt.outcome.seen is not None
        seen = receipt.outcome.seen
        tagged = replace(receipt.outcome, seen=replace(seen, contact=replace(seen.contact, tags=(TRASH,))))
        await receipts.take(replace(receipt, outcome=tagged))
        told = await only(made, link.id)
        assert told.status == "tombstone"
        assert [(each.name, each.ours) for each in told.left.tags] == [(TRASH, True)]
        assert told.next.outcome == "nothing"
        ended = await only(made, "shop/twin")
        assert (ended.status, ended.next.outcome) == ("ended", "nothing")


async def test_g4_who_waits_sees_for_what_and_what_follows_and_an_older_journal_is_read(store: Store) -> None:
    other = Connection(name="other", left="second", right="office", options=Options(most_writes=0))
    async with rig(store, PAIR, other, scanned=False) as made:
        events = await made.own()
        await events.take(changed("shop", "cus", {**shop("Ada", MAIL[0]), "metadata.a\0b": ("c",)}))
        told = await only(made, MAIL[0])
        assert told.timeline[0].changed == ("email", "metadata.a\ufffdb", "name")
        assert told.wait is not None
        assert (told.wait.reason, told.wait.on) == ("scan", "shop")
        assert "when the first scan of this account has ended" in told.wait.next_step
        assert {each.state for each in told.fields} == {"alone"}
        await store.execute("UPDATE sync.account SET scanned_at = now()")
        told = await only(made, MAIL[0])
        (create,) = told.next.commands
        assert (told.next.outcome, create.kind, create.account) == ("create", "create", "office")
        assert ("email", (), MAIL) in {(each.field, each.before, each.after) for each in create.changes}
        # What a version wrote that didn't note whom an input was about.
        await store.execute("UPDATE sync.journal SET detail = NULL")
        told = await only(made, MAIL[0])
        assert told.timeline[0].told == "the contact was seen, as it was known"
        origin = field(told, "name").left.origin
        assert origin is not None
        assert origin.by == "unknown"
        await made.sweeper.sweep()
        await made.make_due()
        await made.sweep()
        create_sent = one(await made.drain(), Create)
        told = await only(made, create_sent.aim.link)
        assert told.right.write is not None
        assert told.next.commands == ()
        assert told.timeline[-1].decisions[-1].writes[0].answer is None


async def test_g4_a_matched_pair_tells_both_halves_stories_and_why_a_difference_stays(store: Store) -> None:
    async with rig(store, scanned=False) as made:
        events = await made.own()
        scanned = replace(changed("shop", "cus", shop("Ada", MAIL[0]), scan=1), origin="scan")
        await events.take(message(scanned, id="shop:scan-1"))
        await made.drain()
        await store.execute(
            "UPDATE sync.link SET state = jsonb_set(state::jsonb, '{right}', '{}')::json, unsettled = 0"
        )
        await store.execute("DELETE FROM sync.reservation")
        two = {**card(PersonName(given="Ada")), "email": ("second@example.com", MAIL[0])}
        await events.take(message(changed("office", "card", two, at=5), id="office:poll-1"))
        told = await only(made, "office/card")
        assert (told.left.contact, told.right.contact, told.status) == ("cus", "card", "active")
        assert len(told.earlier) == 1
        assert [each.cause for each in told.timeline][:1] == ["shop:scan-1"]
        assert "office:poll-1" in {each.cause for each in told.timeline}
        assert {"link", "end"} <= {each.outcome for entry in told.timeline for each in entry.decisions}
        mail = field(told, "email")
        assert (mail.state, mail.why) == ("kept", KEPT)
        assert mail.left.origin is not None
        assert mail.right.origin is not None
        assert (mail.left.origin.told, mail.right.origin.told) == ("stood in shop when it was read", "set in office")
        assert (await only(made, told.earlier[0])).link == told.link
