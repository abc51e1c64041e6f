"""Two apps that do what they are told, behind sync on a real Postgres; and how a plan is compared with their writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from services.contracts.commands import Command, Create, Find, Look, Tag, Untag, Update, Write
from services.contracts.connection import Account, Connection
from services.contracts.contact import Contact, Fields, Values
from services.contracts.envelope import Message
from services.contracts.events import ContactChanged, LookAnswer
from services.contracts.receipts import Absent, Found, Observation, Receipt, Written
from services.runtime.log import EVENTS, RECEIPTS
from services.sync.core.identity import addresses
from services.sync.core.why import values_told
from services.sync.plan.known import ground
from services.sync.plan.trial import trial_of
from services.sync.plan.would import WRITES, Plan, PlanId
from tests.core.bench import order
from tests.integration.sync_messages import changed, deleted, message, scan_finished
from tests.integration.sync_rig import APPS, MANIFESTS, PARTITIONS, Owner, Rig

ACCOUNTS = tuple(Account(name=name, app=app) for name, app in APPS.items())
Told = tuple[str, str, str, tuple[tuple[str, tuple[str, ...]], ...]]
"""Kind, account, contact (or the link that makes it), and what was set."""


class Apps:
    """All accounts' contacts. Each answer is the contact as it is then."""

    def __init__(self, made: Rig, events: Owner, receipts: Owner) -> None:
        self.made, self.events, self.receipts = made, events, receipts
        self.contacts: dict[tuple[str, str], Contact] = {}
        self.written: list[Write] = []
        self.asked = 0
        """Commands that were received, of any kind."""
        self._at = 0

    @classmethod
    async def of(cls, made: Rig) -> Apps:
        """The apps of a rig whose topics are claimed for them."""
        return cls(made, await made.own(EVENTS), await made.own(RECEIPTS))

    async def people(self, account: str, *people: tuple[str, Fields]) -> None:
        """Contacts that are there, and heard of."""
        self._at += 10
        for contact_id, fields in people:
            self.contacts[account, contact_id] = Contact(fields=fields)
        await self.hear(*(changed(account, contact_id, fields, at=self._at) for contact_id, fields in people))

    async def edit(self, account: str, contact_id: str, *tags: str, **fields: Values) -> None:
        """A person changes fields of a contact, and sets tags; it is heard of."""
        self._at += 10
        before = self.contacts[account, contact_id]
        now = msgspec.structs.replace(
            before, fields={**before.fields, **fields}, tags=tuple(sorted({*before.tags, *tags}))
        )
        self.contacts[account, contact_id] = now
        await self.hear(self._seen(account, contact_id))

    async def delete(self, account: str, contact_id: str) -> None:
        """A person deletes a contact; it is heard of."""
        self._at += 10
        del self.contacts[account, contact_id]
        await self.hear(deleted(account, contact_id, at=self._at))

    async def hear(self, *messages: Message) -> None:
        """Events that come in through the log."""
        await self._take(self.events, *messages)

    async def scanned(self, *accounts: str) -> None:
        """The first scans of these accounts end, in all partitions."""
        for account in accounts:
            await self.hear(scan_finished(account))
            for number in range(1, PARTITIONS):
                await self._take(await self.made.own(EVENTS, number), scan_finished(account))

    async def _take(self, owner: Owner, *messages: Message) -> None:
        posted = [message(each) for each in messages]
        if posted:
            await self.made.log.append(owner.place, posted)
            await owner.take(*posted)

    def _seen(self, account: str, contact_id: str, look: LookAnswer | None = None) -> ContactChanged:
        contact = self.contacts[account, contact_id]
        return changed(
            account,
            contact_id,
            contact.fields,
            at=self._at,
            until=self._at,
            mark=contact.mark,
            tags=contact.tags,
            look=look,
        )

    async def rest(self) -> list[Write]:
        """Do everything that is asked until nothing is; return the writes of this time."""
        self.written = []
        while True:
            await self.made.sweep()
            commands = await self.made.drain()
            if not commands:
                return self.written
            self.asked += len(commands)
            for command in commands:
                answer = self._done(command)
                if isinstance(answer, ContactChanged):
                    await self.hear(answer)
                    continue
                echo = self._echo(answer)
                await self.hear(*echo)
                await self._take(self.receipts, answer)
                await self.hear(*echo)

    def _done(self, command: Command) -> Message:
        self._at += 10
        match command:
            case Find():
                manifest = MANIFESTS[APPS[command.account]]
                found = [
                    key[1]
                    for key, contact in sorted(self.contacts.items())
                    if key[0] == command.account and command.address in addresses(contact, manifest)
                ]
                place = (command.link, command.account, command.address, command.number)
                if not found:
                    return Absent(link=place[0], account=place[1], address=place[2], number=place[3])
                ids = tuple(found)
                return Found(link=place[0], account=place[1], address=place[2], number=place[3], contact_ids=ids)
            case Look():
                return self._seen(command.account, command.contact_id, command.look)
            case _:
                return self._written(command)

    def _echo(self, answer: Message) -> list[Message]:
        """Our own write as its event shows it, where it is one; it comes before the receipt and once more after it."""
        match answer:
            case Receipt(outcome=Written(contact_id=contact_id)):
                return [self._seen(answer.aim.account, contact_id)]
            case _:
                return []

    def _written(self, command: Write) -> Receipt:
        self.written.append(command)
        account = command.aim.account
        match command:
            case Create():
                contact_id = f"made-{len(self.contacts)}"
                contact = Contact(fields=command.fields, mark=command.aim.link)
            case Update():
                contact_id = command.contact_id
                before = self.contacts[account, contact_id]
                contact = msgspec.structs.replace(before, fields={**before.fields, **command.fields})
            case Tag() | Untag():
                contact_id = command.contact_id
                before = self.contacts[account, contact_id]
                tags = {*before.tags, command.tag} if isinstance(command, Tag) else {*before.tags} - {command.tag}
                contact = msgspec.structs.replace(before, tags=tuple(sorted(tags)))
        self.contacts[account, contact_id] = contact
        seen = Observation(contact_id=contact_id, order=order(self._at), contact=contact)
        return Receipt(aim=command.aim, outcome=Written(contact_id=contact_id, seen=seen))


async def plan(made: Rig, *connections: Connection) -> tuple[PlanId, Plan]:
    """What a file with these connections would do."""
    async with made.store.transaction("repeatable_read", readonly=True) as database:
        under = await ground(database, MANIFESTS, ACCOUNTS, connections)
        return under.plan(await trial_of(database))


def promised(plan: Plan) -> Counter[Told]:
    """The writes that a plan tells of."""
    return Counter(
        (
            each.kind,
            each.account,
            each.contact or each.link,
            tuple(sorted((change.field, change.after) for change in each.changes)) or ((each.tag or "", ()),),
        )
        for each in plan.would
        if each.kind in WRITES
    )


def done(written: Sequence[Write]) -> Counter[Told]:
    """The same of writes that were really made."""
    return Counter(_done(write) for write in written)


def _done(write: Write) -> Told:
    account = write.aim.account
    match write:
        case Create():
            return "create", account, write.aim.link, _fields(write.fields)
        case Update():
            return "update", account, write.contact_id, _fields(write.fields)
        case Tag():
            return "tag", account, write.contact_id, ((write.tag, ()),)
        case Untag():
            return "untag", account, write.contact_id, ((write.tag, ()),)


def _fields(fields: Fields) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple(sorted((path, values_told(values)) for path, values in fields.items()))
