"""What contactsync wrote goes back, and nothing bounces (G6)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from services.contracts.commands import Tag, Untag, Update
from services.contracts.contact import Fields, PersonName
from services.contracts.receipts import Deferred, Refused
from services.contracts.rule import FieldIs, Rule, SetTag, SetText
from services.runtime.log import EVENTS, RECEIPTS
from services.runtime.store import Store
from services.sync.configs import read_configs
from services.sync.core.state import Link
from services.sync.explain.tell import Window
from services.sync.explain.tell import explain as told_of
from services.sync.replay.run import run as audit
from services.sync.revert.chosen import Choice, Span
from services.sync.revert.plan import Plan, plan
from services.sync.revert.run import Reverted, run
from tests.core.bench import TRASH, phone, tel
from tests.integration.obedient import Apps, apps
from tests.integration.sync_messages import of, shop, writes
from tests.integration.sync_rig import MANIFESTS, PAIR, Rig, rig

OLD = datetime(2000, 1, 1, tzinfo=UTC)


def card(given: str, family: str, address: str, number: str = "01") -> Fields:
    return {"n": (PersonName(given=given, family=family),), "email": (address,), "tel": tel(number)}


async def now(made: Rig) -> datetime:
    found: datetime = await made.store.fetchval("SELECT clock_timestamp()")
    return found


async def choice(made: Rig, since: datetime = OLD, *, line: str | None = None, rule: int | None = None) -> Choice:
    span = Span(connection="pair", since=since, until=await now(made))
    return Choice(spans=(span,), line=line, rule=rule)


async def planned(made: Rig, chosen: Choice) -> Plan:
    return await plan(made.store, made.log, MANIFESTS, chosen)


async def done(made: Rig, beside: Apps, made_plan: Plan) -> Reverted:
    async with beside.working():
        return await run(made.store, MANIFESTS, made_plan.intents)


@asynccontextmanager
async def pairs(store: Store, count: int = 1) -> AsyncIterator[tuple[Rig, Apps]]:
    """A two-way connection with so many pairs that are in step."""
    async with rig(store, scanned=False) as made:
        beside = await apps(made)
        for at in range(count):
            address = f"ada{at}@example.com"
            await beside.edit("office", f"card{at}", card("Ada", "King", address))
            await beside.edit("shop", f"cus{at}", {**shop("Ada King", address), "phone": phone("01")})
        await beside.scanned("shop", "office")
        assert [link.status for link in await made.links()] == ["active"] * count
        yield made, beside


def assert_both(beside: Apps, name: str, digits: str, at: int = 0) -> None:
    office, customer = beside.held["office", f"card{at}"], beside.held["shop", f"cus{at}"]
    given, _, family = name.partition(" ")
    assert office.fields["n"] == (PersonName(given=given, family=family),)
    assert plain(office.fields["tel"]) == tel(digits)
    assert customer.fields["name"] == (name,)
    assert plain(customer.fields["phone"]) == tel(digits)


def plain(numbers: tuple[object, ...]) -> tuple[str, ...]:
    """Phone numbers as the office spells them."""
    return tuple(str(number).replace(" ", "") for number in numbers)


async def test_g6_what_was_written_goes_back_nothing_bounces_and_a_later_edit_flows_again(store: Store) -> None:
    async with pairs(store, 2) as (made, beside):
        since = await now(made)
        # Three writes of one field; the second one finds what the first left.
        for digits in ("02", "03"):
            await beside.edit("shop", "cus0", {"phone": phone(digits)})
            await beside.rest()
        await beside.edit("shop", "cus0", {"name": ("Eve King",)})
        await beside.edit("shop", "cus1", {"name": ("Mary King",), "phone": phone("04")})
        await beside.rest()
        assert_both(beside, "Eve King", "03")
        # A person changes one of them on the other side; that flows back, and isn't ours.
        await beside.edit("office", "card1", {"tel": tel("09")})
        await beside.rest()
        assert plain(beside.held["shop", "cus1"].fields["phone"]) == tel("09")

        chosen = await choice(made, since)
        made_plan = await planned(made, chosen)
        told = made_plan.told
        changes = {
            (step.contact, each.field): (plain(each.now), plain(each.back))
            for step in told.steps
            for each in step.changes
        }
        assert changes.pop(("card0", "n")) == (("EveKing",), ("AdaKing",))
        assert changes.pop(("card1", "n")) == (("MaryKing",), ("AdaKing",))
        assert changes.pop(("card0", "tel")) == (tel("03"), tel("01"))
        # Our write to the shop, of what was edited in the office.
        assert changes.pop(("cus1", "phone")) == (tel("09"), tel("04"))
        assert not changes
        assert [(each.contact, each.what, each.why) for each in told.stays] == [
            ("card1", "tel", "it was changed since")
        ]

        before = len(beside.asked)
        result = await done(made, beside, made_plan)
        assert (result.whole, result.sent, result.answers) == (True, 3, {"written": 3})
        assert await beside.rest() == []
        assert {update.aim.account for update in of(beside.asked[before:], Update)} == {"office", "shop"}
        assert len(writes(beside.asked[before:])) == 3
        # Both sides stay: the source keeps its edit, the target what it had before.
        assert beside.held["shop", "cus0"].fields["name"] == ("Eve King",)
        assert beside.held["office", "card0"].fields["n"] == (PersonName(given="Ada", family="King"),)
        assert plain(beside.held["office", "card0"].fields["tel"]) == tel("01")
        assert plain(beside.held["office", "card1"].fields["tel"]) == tel("09")

        # A person's word is no difference to an audit of history.
        bounds = {**await made.log.bounds(EVENTS), **await made.log.bounds(RECEIPTS)}
        audited = await audit(made.store, made.log.read, bounds, MANIFESTS)
        assert [each.told() for each in audited.audit.differences] == []
        assert audited.audit.clean

        # Again, with the same words and with those that take in the revert itself.
        for again in (chosen, await choice(made, since)):
            repeated = await planned(made, again)
            assert (repeated.intents, repeated.told.steps) == ((), ())
        # Reading everything anew and a sweep change nothing; a later edit on either side flows.
        await made.make_due()
        assert await beside.rest() == []
        await beside.edit("shop", "cus0", {"name": ("Ada Lovelace",), "phone": phone("05")})
        await beside.rest()
        assert_both(beside, "Ada Lovelace", "05")
        await beside.edit("office", "card0", {"tel": tel("06")})
        await beside.rest()
        assert_both(beside, "Ada Lovelace", "06")

        link = next(link for link in await made.links() if link.right.contact_id == "card0")
        assert await explained(made, link) == 1


async def explained(made: Rig, link: Link) -> int:
    """How many decisions of its story are a revert's."""
    async with made.store.transaction("repeatable_read", readonly=True) as database:
        configs = await read_configs(database, MANIFESTS)
        told = await told_of(database, configs, link.id, Window(since=None, most=1000))
    assert told is not None
    decisions = [decision for entry in told.timeline for decision in entry.decisions if decision.outcome == "revert"]
    assert all(write.answer == "written" for decision in decisions for write in decision.writes)
    assert {decision.reason for decision in decisions} == {"a person took back what contactsync had written"}
    return len(decisions)


async def test_g6_created_contacts_get_the_trash_tag_once_and_stay_linked(store: Store) -> None:
    async with rig(store) as made:
        beside = await apps(made)
        await beside.edit("shop", "cus", shop("Ada", "ada@example.com"))
        await beside.rest()
        (link,) = await made.links()
        contact_id = link.right.contact_id or ""
        await beside.edit("shop", "cus", {"name": ("Eve",)})
        await beside.rest()
        made_plan = await planned(made, await choice(made))
        (step,) = made_plan.told.steps
        assert (step.contact, step.trash, step.changes, made_plan.told.created) == (contact_id, True, (), 1)
        before = len(beside.asked)
        result = await done(made, beside, made_plan)
        assert result.whole
        await beside.rest()
        (tag,) = writes(beside.asked[before:])
        assert isinstance(tag, Tag)
        assert (tag.tag, beside.held["office", contact_id].tags) == (TRASH, (TRASH,))
        assert (await planned(made, await choice(made))).told.steps == ()
        await made.make_due()
        assert await beside.rest() == []
        (link,) = await made.links()
        assert link.status == "active"


async def test_g6_a_rules_action_goes_back_and_is_not_done_again(store: Store) -> None:
    rule = Rule(
        source="left", actions=(SetTag(name="Customers"), SetText(path="note", text="from the shop")), undo=True
    )
    another = Rule(source="right", actions=(SetTag(name="Known"),))
    pair = replace(PAIR, rules=(rule, another))
    async with rig(store, pair, scanned=False) as made:
        beside = await apps(made)
        await beside.edit("office", "card", {**card("Ada", "King", "ada@example.com"), "note": ("old",)})
        await beside.edit("shop", "cus", shop("Ada King", "ada@example.com"))
        await beside.scanned("shop", "office")
        office = beside.held["office", "card"]
        assert (office.tags, office.fields["note"]) == (("Customers",), ("from the shop",))
        assert beside.held["shop", "cus"].tags == ("Known",)
        made_plan = await planned(made, await choice(made, rule=1))
        (step,) = made_plan.told.steps
        assert (step.account, step.untags) == ("office", ("Customers",))
        assert [(each.field, each.back) for each in step.changes] == [("note", ("old",))]
        before = len(beside.asked)
        result = await done(made, beside, made_plan)
        assert (result.whole, result.sent) == (True, 2)
        await beside.rest()
        await made.make_due()
        await beside.rest()
        assert [type(each) for each in writes(beside.asked[before:])] == [Update, Untag]
        office = beside.held["office", "card"]
        assert (office.tags, office.fields["note"]) == ((), ("old",))
        assert beside.held["shop", "cus"].tags == ("Known",)
        assert (await planned(made, await choice(made, rule=1))).told.steps == ()


async def test_g6_a_line_alone_and_what_cannot_go_back_is_listed_with_its_reason(store: Store) -> None:
    async with pairs(store) as (made, beside):
        since = await now(made)
        await beside.edit("shop", "cus0", {"name": ("Eve King",), "phone": phone("02")})
        await beside.rest()
        for word in ("phone", "tel"):
            told = (await planned(made, await choice(made, since, line=word))).told
            assert [[each.field for each in step.changes] for step in told.steps] == [["tel"]]
        later = await choice(made, since + timedelta(days=1))
        assert (await planned(made, later)).told.writes == 0
        await store.execute("UPDATE registry.connection SET paused_at = now()")
        told = (await planned(made, await choice(made, since))).told
        assert told.steps == ()
        assert {each.why for each in told.stays} == {"pair is paused: `contactsync resume pair` first"}
        await store.execute("UPDATE registry.connection SET paused_at = NULL")
        # An approved plan whose field is changed before it is carried out: the locks see it.
        made_plan = await planned(made, await choice(made, since, line="phone"))
        await beside.edit("office", "card0", {"tel": tel("08")})
        result = await done(made, beside, made_plan)
        assert (result.sent, [left.why for _, left in result.stays]) == (0, ["it was changed since"])
        await beside.rest()
        await store.execute("DELETE FROM log.record WHERE topic LIKE 'contacts.commands.%'")
        told = (await planned(made, await choice(made, since))).told
        assert told.steps == ()
        assert {each.why for each in told.stays} == {"the log no longer holds what stood there before"}


async def test_g6_a_deletions_tag_goes_back_and_is_not_set_for_that_deletion_again(store: Store) -> None:
    async with pairs(store) as (made, beside):
        since = await now(made)
        await beside.gone("office", "card0")
        await beside.rest()
        await made.pass_time(5)
        await beside.rest()
        assert TRASH in beside.held["shop", "cus0"].tags
        made_plan = await planned(made, await choice(made, since))
        (step,) = made_plan.told.steps
        assert (step.account, step.contact, step.untags) == ("shop", "cus0", (TRASH,))
        result = await done(made, beside, made_plan)
        assert result.whole
        await made.make_due()
        await beside.rest()
        assert not beside.held["shop", "cus0"].tags
        assert (await planned(made, await choice(made, since))).told.steps == ()


async def test_g6_a_write_that_is_put_off_or_refused_is_told_and_goes_back_the_next_time(store: Store) -> None:
    async with pairs(store) as (made, beside):
        since = await now(made)
        await beside.edit("shop", "cus0", {"phone": phone("02")})
        await beside.rest()
        for outcome in (Deferred(reason="paused"), Refused(reason="no", fields=("tel",))):
            beside.instead = outcome
            made_plan = await planned(made, await choice(made, since))
            result = await done(made, beside, made_plan)
            assert (result.whole, result.sent, result.unanswered) == (False, 1, 0)
            assert dict(result.answers) == {type(outcome).__name__.lower(): 1}
            await beside.rest()
            assert plain(beside.held["office", "card0"].fields["tel"]) == tel("02")
        beside.instead = None
        assert (await done(made, beside, await planned(made, await choice(made, since)))).whole
        assert await beside.rest() == []
        assert plain(beside.held["office", "card0"].fields["tel"]) == tel("01")
        # Nobody answers: it says so, and doesn't wait for ever.
        await beside.edit("shop", "cus0", {"name": ("Eve King",)})
        await beside.rest()
        made_plan = await planned(made, await choice(made, since))
        result = await run(made.store, MANIFESTS, made_plan.intents, patience=0.1)
        assert (result.sent, result.unanswered, result.whole) == (1, 1, False)


async def test_g6_a_rules_writes_are_those_to_pairs_that_no_other_rule_takes_in(store: Store) -> None:
    rules = tuple(
        Rule(source="left", conditions=(FieldIs(path="name", operator="equals", values=(name,)),))
        for name in ("Ada", "Bob")
    )
    async with rig(store, replace(PAIR, direction="left_to_right", rules=rules)) as made:
        beside = await apps(made)
        for name in ("Ada", "Bob"):
            await beside.edit("shop", f"cus_{name}", shop(name, f"{name.lower()}@example.com"))
        await beside.rest()
        (step,) = (await planned(made, await choice(made, rule=2))).told.steps
        link = next(link for link in await made.links() if link.left.contact_id == "cus_Bob")
        assert (step.trash, step.contact) == (True, link.right.contact_id)
