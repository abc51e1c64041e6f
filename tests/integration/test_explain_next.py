"""Fails when what `explain` says comes next isn't what is decided then, or a state can't be explained (G4)."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from msgspec.structs import replace

from services.contracts.commands import Command, Create, Find, Look, Tag, Untag, Update, Write
from services.contracts.contact import Fields, PersonName
from services.contracts.events import ContactTouched
from services.contracts.receipts import Deferred, Observation, Receipt, Refused, Stale, Unknown
from services.contracts.rule import FieldIs, HasTag, Rule, SetTag, SetText
from services.runtime.log import RECEIPTS
from services.runtime.store import Connection as Database
from services.runtime.store import Store
from services.sync import control
from services.sync.core.take import Reconsider
from services.sync.save import account_of
from services.sync.transact import Cause, transact
from tests.core.bench import order
from tests.integration.sync_messages import changed, deleted, writes, written
from tests.integration.sync_rig import MANIFESTS, PAIR, Owner, Rig, rig
from tests.integration.test_explain import asked

STEPS = 60
RULES = (
    Rule(
        source="left",
        conditions=(FieldIs(path="name", operator="not_equals", values=("eve",)),),
        actions=(SetTag(name="vip"), SetText(path="note", text="ours")),
        undo=True,
    ),
    Rule(source="right", conditions=(HasTag(name="out", present=False),)),
)
KINDS = {Create: "create", Update: "update", Tag: "tag", Untag: "untag", Look: "look", Find: "find"}


class Play:
    """People and apps at random, and a person who asks after each step."""

    def __init__(self, made: Rig, events: Owner, receipts: Owner, random: Random) -> None:
        self.made = made
        self.events = events
        self.receipts = receipts
        self.random = random
        self.at = 0
        self.open: list[Write] = []
        self.contacts: dict[str, list[str]] = {"shop": ["s0", "s1", "s2"], "office": ["o0", "o1"]}

    async def turn(self) -> None:
        """Let something happen."""
        self.at += 10
        what = self.random.choices(
            ("edit", "delete", "touch", "answer", "hold", "version", "time"), (9, 1, 1, 14, 2, 3, 2)
        )
        match what[0]:
            case "edit":
                account, contact = self._contact()
                await self.events.take(changed(account, contact, self._fields(account), at=self.at, tags=self._tags()))
            case "delete":
                await self.events.take(deleted(*self._contact(), at=self.at))
            case "touch":
                account, contact = self._contact()
                await self.events.take(ContactTouched(account=account, contact_id=contact, origin="webhook"))
            case "answer" if self.open:
                await self._answer(self.open.pop(self.random.randrange(len(self.open))))
            case "hold":
                await self._say()
            case "version":
                rules = self.random.choice((RULES, ()))
                await self.made.connect(
                    replace(PAIR, rules=rules, direction=self.random.choice(("two_way", "left_to_right")))
                )
            case _:
                await self.made.pass_time(3)
        await self.collect()

    async def collect(self) -> Sequence[Command]:
        """Take what was sent out."""
        sent = await self.made.drain()
        self.open += writes(sent)
        return sent

    def _contact(self) -> tuple[str, str]:
        account = self.random.choice(("shop", "office"))
        return account, self.random.choice(self.contacts[account])

    def _tags(self) -> tuple[str, ...]:
        return self.random.choice(((), ("vip",), ("out",)))

    def _fields(self, account: str) -> Fields:
        name, mail = self.random.choice(("Ada", "Bob", "Eve")), self.random.choice(("a@x.org", "b@x.org", "c@x.org"))
        note = self.random.choice(("", "n", "x" * 41))
        fields: Fields = {"email": (mail,)}
        if account == "shop":
            return fields | {"name": (name,), "description": (note,) if note else ()}
        return fields | {"n": (PersonName(given=name),), "note": (note,) if note else ()}

    async def _answer(self, write: Write) -> None:
        reply = self.random.choice(("written", "written", "written", "refused", "deferred", "stale", "unknown"))
        if reply == "stale" and isinstance(write, Create):
            reply = "deferred"
        match reply:
            case "refused":
                outcome: Refused | Deferred | Stale | Unknown = Refused(reason="not this")
            case "deferred":
                outcome = Deferred(reason="config")
            case "unknown":
                self.open.append(write)
                outcome = Unknown(reason="no answer came", since=order(self.at).start)
            case "stale" if not isinstance(write, Create):
                seen = changed(write.aim.account, write.contact_id, self._fields(write.aim.account), at=self.at)
                outcome = Stale(seen=Observation(contact_id=seen.contact_id, order=seen.order, contact=seen.contact))
            case _:
                fields = {
                    **self._fields(write.aim.account),
                    **(write.fields if isinstance(write, Create | Update) else {}),
                }
                receipt = written(write, at=self.at, fields=fields)
                self.contacts[write.aim.account].append(getattr(receipt.outcome, "contact_id", "s0"))
                await self.receipts.take(receipt)
                return
        await self.receipts.take(Receipt(aim=write.aim, outcome=outcome))

    async def _say(self) -> None:
        async with self.made.store.transaction() as database:
            waiting = await control.held(database)
        if waiting:
            word = self.random.choice((control.approve, control.reject))
            await word(self.made.store, MANIFESTS, self.random.choice(waiting))

    async def reconsidered(self, link: str) -> Sequence[Command]:
        """Reconsider one link for real; return what was sent."""

        async def begin(_: Database) -> list[Cause]:
            return [Cause(item=Reconsider(link=link), type="reconsider", id=link)]

        while not await transact(self.made.store, self.made.worker.configs, begin):
            continue
        return await self.collect()


@pytest.mark.parametrize("seed", [2, 4])
async def test_g4_what_comes_next_is_what_is_decided_when_it_comes(store: Store, seed: int) -> None:
    random = Random(seed)
    async with rig(store, replace(PAIR, rules=RULES)) as made:
        play = Play(made, await made.own(), await made.own(RECEIPTS), random)
        outcomes: set[str] = set()
        for _ in range(STEPS):
            await play.turn()
            links = await made.links(ended=random.random() < 0.1)
            if not links:
                continue
            for told in await asked(made, random.choice(links).id):
                sent = await play.reconsidered(told.link)
                said = [(each.account, each.kind) for each in told.next.commands]
                assert said == [(account_of(each), KINDS[type(each)]) for each in sent], told.next
                rows = [
                    row for row in await made.journal() if row["link"] is not None and str(row["link"]) == told.link
                ]
                last = rows[-1]
                if last["input"] == "reconsider" and last["number"] > told.timeline[-1].decisions[-1].number:
                    assert (last["outcome"], last["reason"]) == (told.next.outcome, told.next.reason)
                outcomes.update(told.next.outcome.split("+"))
                values = [value for line in told.fields for value in (line.left, line.right) if value.values]
                origins = {"none" if value.origin is None else value.origin.by for value in values}
                assert origins <= {"app", "contactsync"}  # the journal has everything from the start
                outcomes.update(each.state for each in told.fields)
        assert {"nothing", "create", "update", "writing", "same", "next"} <= outcomes
