"""An app that exists only in the tests: a dict of contacts behind the App protocol, with faults on order."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from services.contracts.app import (
    Ability,
    CursorLost,
    Delivery,
    Field,
    Gone,
    Manifest,
    Pace,
    Page,
    Reading,
    Rejected,
    Seen,
    Trouble,
)
from services.contracts.commands import Create, Tag, Untag, Update, Write
from services.contracts.contact import Contact, Fields, Order
from services.contracts.receipts import Observation, Refused, Stale, Unchanged, Written
from services.runtime.app import Absence, Access, Attempt, Undecided

Fault: TypeAlias = Trouble | Undecided | Literal["drop", "lose", "crash"]
"""Trouble: answered instead of doing it; drop: done, and the answer lost; lose: neither; crash: as drop, raising."""


@dataclass
class Card:
    fields: Fields
    mark: str | None = None
    tags: set[str] = field(default_factory=set)
    version: int = 1


class Crash(BaseException):
    """The process ends here."""


class PaperApp:
    """Keeps what was asked of it in `calls`: (verb, account, what)."""

    def __init__(self, *, keys: bool = True, pace: float = 1e6, parallel: int = 1, searched: bool = False) -> None:
        abilities = {Ability.TAG, Ability.DETECT_DELETION, Ability.GUARD}
        self._manifest = Manifest(
            name="paper",
            title="Paper",
            docs="https://example.com/",
            credentials=(),
            settings=(),
            fields=(
                Field(path="email", canonical="email", type="email"),
                Field(path="name", canonical="full_name", type="name"),
                Field(path="phone", canonical="phone", type="phone"),
            ),
            abilities=frozenset(
                abilities
                | ({Ability.IDEMPOTENCY_KEY} if keys else set())
                | ({Ability.FIND_SEES_MORE} if searched else set())
            ),
            pace=Pace(poll=1, read=pace, write=pace, burst=1000 if pace > 1000 else 1),
            key_lifetime=3600.0 if keys else 0.0,
            parallel=parallel,
        )
        self.cards: dict[tuple[str, str], Card] = {}
        self.calls: list[tuple[str, str, str]] = []
        self.keys: list[str] = []
        self.faults: dict[str, deque[Fault]] = {}
        self.always: dict[str, Fault] = {}
        """Account -> what every call answers, until it is taken away."""
        self.gates: dict[str, asyncio.Event] = {}
        """Account -> what its calls wait for."""
        self._numbers = itertools.count(1)
        self._answers: dict[str, Written | Unchanged | Refused | Stale] = {}

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    def fault(self, verb: str, *faults: Fault) -> None:
        self.faults.setdefault(verb, deque()).extend(faults)

    def count(self, verb: str) -> int:
        return sum(1 for call in self.calls if call[0] == verb)

    def add(self, account: str, contact_id: str, **fields: str) -> Card:
        card = Card({path: (value,) for path, value in fields.items()})
        self.cards[account, contact_id] = card
        return card

    def verify(self, delivery: Delivery, secrets: Sequence[str], now: float) -> Rejected | None:
        return Rejected(code="signature", reason="Paper sends nothing.")

    def read(self, delivery: Delivery) -> tuple[Reading, ...] | Rejected:
        return ()

    async def scan(self, access: Access, cursor: str | None) -> Page | CursorLost | Trouble:
        return Page(readings=(), cursor="", more=False)

    async def poll(self, access: Access, cursor: str) -> Page | CursorLost | Trouble:
        return Page(readings=(), cursor=cursor, more=False)

    async def look(self, access: Access, contact_id: str) -> Seen | Gone | Trouble:
        if fault := await self._before("look", access.account, contact_id):
            return _trouble(fault)
        card = self.cards.get((access.account, contact_id))
        if card is None:
            return Gone(contact_id=contact_id, order=Order(1, 1))
        return self._seen(contact_id, card)

    async def find(self, access: Access, address: str) -> tuple[Seen, ...] | Trouble:
        if fault := await self._before("find", access.account, address):
            return _trouble(fault)
        return tuple(
            self._seen(contact_id, card)
            for (account, contact_id), card in self.cards.items()
            if account == access.account and address in card.fields.get("email", ())
        )

    async def write(
        self, access: Access, command: Write, attempt: Attempt
    ) -> Written | Unchanged | Refused | Stale | Trouble:
        self.keys.append(attempt.key)
        fault = await self._before("write", access.account, command.aim.link)
        if fault is not None and fault not in ("drop", "crash"):
            return _trouble(fault)
        replay = Ability.IDEMPOTENCY_KEY in self._manifest.abilities and attempt.key in self._answers
        if replay:
            answer = self._answers[attempt.key]
        else:
            made = self._apply(access.account, command)
            if isinstance(made, Trouble):
                return made
            answer = self._answers[attempt.key] = made
        if fault == "crash":
            raise Crash
        if fault is not None:
            return _trouble(fault)
        if replay and isinstance(answer, Written):
            return Written(contact_id=answer.contact_id, seen=answer.seen, replayed=True)
        return answer

    async def settle(
        self, access: Access, command: Write, attempt: Attempt
    ) -> Written | Stale | Absence | Undecided | Trouble:
        fault = await self._before("settle", access.account, command.aim.link)
        if isinstance(fault, Undecided):
            return fault
        if fault is not None:
            return _trouble(fault)
        match command:
            case Create():
                for (account, contact_id), card in self.cards.items():
                    if account == access.account and card.mark == command.aim.link:
                        return Written(contact_id=contact_id, seen=self._observed(contact_id, card))
                return Absence(reason="no contact carries the mark")
            case Update():
                card = self.cards[access.account, command.contact_id]
                if all(card.fields.get(path, ()) == values for path, values in command.fields.items()):
                    return Written(contact_id=command.contact_id, seen=self._observed(command.contact_id, card))
                return Absence(reason="the values aren't there")
            case Tag() | Untag():
                card = self.cards[access.account, command.contact_id]
                if (command.tag in card.tags) == isinstance(command, Tag):
                    return Written(contact_id=command.contact_id)
                return Absence(reason="the tag isn't as wanted")

    def _apply(self, account: str, command: Write) -> Written | Refused | Trouble:
        if isinstance(command, Create):
            contact_id = f"c{next(self._numbers)}"
            card = Card(dict(command.fields), mark=command.aim.link)
            self.cards[account, contact_id] = card
            return Written(contact_id=contact_id, seen=self._observed(contact_id, card))
        contact_id = command.contact_id
        found = self.cards.get((account, contact_id))
        if found is None:
            return Trouble(key=404, detail="There is no such contact.")
        if command.guard is not None and command.guard != str(found.version):
            return Trouble(key=412, detail="The contact was changed.")
        match command:
            case Update(fields=fields):
                found.fields.update(fields)
            case Tag(tag=tag):
                found.tags.add(tag)
            case Untag(tag=tag):
                found.tags.discard(tag)
        found.version += 1
        return Written(contact_id=contact_id, seen=self._observed(contact_id, found))

    async def _before(self, verb: str, account: str, what: str) -> Fault | None:
        self.calls.append((verb, account, what))
        if gate := self.gates.get(account):
            await gate.wait()
        if account in self.always:
            return self.always[account]
        waiting = self.faults.get(verb)
        return waiting.popleft() if waiting else None

    def _contact(self, card: Card) -> Contact:
        return Contact(fields=dict(card.fields), tags=tuple(sorted(card.tags)), mark=card.mark, guard=str(card.version))

    def _seen(self, contact_id: str, card: Card) -> Seen:
        order = Order(card.version, card.version)
        return Seen(contact_id=contact_id, order=order, contact=self._contact(card))

    def _observed(self, contact_id: str, card: Card) -> Observation:
        order = Order(card.version, card.version)
        return Observation(contact_id=contact_id, order=order, contact=self._contact(card))


def _trouble(fault: Fault) -> Trouble:
    return fault if isinstance(fault, Trouble) else Trouble(key="unanswered", detail="The app didn't answer.")
