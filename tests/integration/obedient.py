"""Apps that do what they are told, beside a rig of sync: they answer the commands that stand in its outbox."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from services.contracts.commands import Aim, Command, Create, Find, Look, Tag, Untag, Update
from services.contracts.contact import Contact, Fields, Order
from services.contracts.envelope import Envelope, Message, from_headers, unseal
from services.contracts.receipts import Absent, Deferred, Observation, Receipt, Refused, Written
from services.runtime.log import EVENTS, RECEIPTS, Partition
from services.sync.relay import Relay
from tests.core.bench import SECOND, order
from tests.integration.sync_messages import changed, deleted, message, scan_finished
from tests.integration.sync_rig import Owner, Rig

_TOPICS = "SELECT DISTINCT topic FROM log.partition WHERE topic LIKE 'contacts.commands.%'"


@dataclass
class Apps:
    """What the accounts hold, and what was asked of them."""

    made: Rig
    events: Owner
    receipts: Owner
    held: dict[tuple[str, str], Contact] = field(default_factory=dict)
    asked: list[Command] = field(default_factory=list)
    read: dict[Partition, int] = field(default_factory=dict)
    """How far the topics of commands were read."""
    at: float = 0
    instead: Refused | Deferred | None = None
    """How writes are answered, if they aren't done."""

    async def _take(self, owner: Owner, body: Message) -> None:
        posted = message(body)
        await self.made.log.append(owner.place, [posted])
        await owner.take(posted)

    def _later(self) -> float:
        self.at += 10
        return self.at

    async def edit(self, account: str, contact_id: str, fields: Fields, tags: tuple[str, ...] | None = None) -> None:
        """A person edits a contact, and the app tells of it."""
        known = self.held.get((account, contact_id), Contact(fields={}))
        contact = Contact(fields={**known.fields, **fields}, tags=known.tags if tags is None else tags, mark=known.mark)
        self.held[account, contact_id] = contact
        await self._tell(account, contact_id, contact)

    async def _tell(self, account: str, contact_id: str, contact: Contact) -> None:
        event = changed(account, contact_id, contact.fields, at=self._later(), tags=contact.tags, mark=contact.mark)
        await self._take(self.events, event)

    async def work(self) -> int:
        """Do and answer what has come into the topics of commands; return how much that was."""
        await Relay(self.made.store, self.made.log).move()
        commands = [command async for command in self._commands()]
        for command in commands:
            self.asked.append(command)
            await self._do(command)
        return len(commands)

    async def _commands(self) -> AsyncIterator[Command]:
        for row in await self.made.store.fetch(_TOPICS):
            for place, (_, end) in (await self.made.log.bounds(row["topic"])).items():
                async for batch in self.made.log.read(place, self.read.get(place, 0), end):
                    for record in batch:
                        envelope = from_headers(record.headers, record.value)
                        assert isinstance(envelope, Envelope)
                        body = unseal(envelope)
                        assert isinstance(body, Command)
                        yield body
                self.read[place] = end

    async def rest(self) -> list[Command]:
        """Work until nothing is to be done any more; return what was asked."""
        before = len(self.asked)
        while await self.made.sweep() + await self.work():
            continue
        return self.asked[before:]

    async def scanned(self, *accounts: str) -> None:
        """These accounts have been read: nothing is created before that."""
        for number in range(await self.made.log.partitions(EVENTS)):
            owner = self.events if number == 0 else await self.made.own(EVENTS, number)
            for account in accounts:
                await self._take(owner, scan_finished(account))
        await self.rest()

    async def gone(self, account: str, contact_id: str) -> None:
        """A person deletes a contact, and the app tells of it."""
        del self.held[account, contact_id]
        await self._take(self.events, deleted(account, contact_id, at=self._later()))

    async def _do(self, command: Command) -> None:
        if self.instead is not None and not isinstance(command, Find | Look):
            await self._take(self.receipts, Receipt(aim=command.aim, outcome=self.instead))
            return
        match command:
            case Look() if (command.account, command.contact_id) not in self.held:
                away = deleted(command.account, command.contact_id, at=self._later(), look=command.look)
                await self._take(self.events, away)
            case Find():
                answer = Absent(
                    link=command.link, account=command.account, address=command.address, number=command.number
                )
                await self._take(self.receipts, answer)
            case Look():
                held = self.held[command.account, command.contact_id]
                event = changed(
                    command.account,
                    command.contact_id,
                    held.fields,
                    at=self._later(),
                    tags=held.tags,
                    look=command.look,
                )
                await self._take(self.events, event)
            case Create():
                contact_id = f"made-{command.aim.link[:8]}"
                await self._written(command.aim, contact_id, Contact(fields=command.fields, mark=command.aim.link))
            case Update():
                known = self.held[command.aim.account, command.contact_id]
                fields = {**known.fields, **command.fields}
                await self._written(
                    command.aim, command.contact_id, Contact(fields=fields, tags=known.tags, mark=known.mark)
                )
            case Tag() | Untag():
                known = self.held[command.aim.account, command.contact_id]
                tags = tuple(tag for tag in known.tags if tag != command.tag)
                tags += (command.tag,) if isinstance(command, Tag) else ()
                contact = Contact(fields=known.fields, tags=tags, mark=known.mark)
                await self._written(command.aim, command.contact_id, contact)

    async def _written(self, aim: Aim, contact_id: str, contact: Contact) -> None:
        """The receipt, and then the echo that the app sends of every write."""
        self.held[aim.account, contact_id] = contact
        at = order(self._later()).start
        seen = Observation(contact_id=contact_id, order=Order(at - SECOND, at + SECOND), contact=contact)
        await self._take(self.receipts, Receipt(aim=aim, outcome=Written(contact_id=contact_id, seen=seen)))
        await self._tell(aim.account, contact_id, contact)

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Work in the background, for as long as a command waits for answers."""
        ended = asyncio.Event()

        async def loop() -> None:
            while not ended.is_set():
                await self.made.sweep()
                await self.work()
                await asyncio.sleep(0.01)

        task = asyncio.create_task(loop())
        try:
            yield
        finally:
            ended.set()
            await task


async def apps(made: Rig, patch: Callable[[Apps], None] = lambda _: None) -> Apps:
    """The apps beside a rig."""
    beside = Apps(made, await made.own(EVENTS), await made.own(RECEIPTS))
    patch(beside)
    return beside
