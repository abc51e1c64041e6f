"""People link, unlink and retry at random among edits, deletions and answers: whatever they do, it comes to rest."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from services.contracts.commands import Command, Create, Look, Tag, Update, Write
from services.contracts.contact import SIDES, Contact, Fields, PersonName
from services.contracts.receipts import Observation, Refused, Written
from services.sync.core import hand
from services.sync.core.hand import Linked, Unlinked
from services.sync.core.mapping import Config
from tests.core.bench import SECOND, START, Bench, answer, order

ADDRESSES = ("a@example.com", "b@example.com", None)
ACCOUNTS = ("shop", "office")
STEPS = 60


@dataclass
class Card:
    """A contact as its app has it."""

    fields: Fields
    mark: str | None = None
    tags: set[str] = field(default_factory=set)


class World:
    """Two accounts, and people who do things to them and to the links between them."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.bench = Bench()
        self.cards: dict[tuple[str, str], Card] = {}
        self.queue: list[Command] = []
        self.apart: set[tuple[str | None, str | None]] = set()
        self._issued: set[tuple[str, str, object]] = set()

    def play(self) -> None:
        acts = (
            self.edit,
            self.edit,
            self.delete,
            self.link,
            self.unlink,
            self.retry,
            self.answer,
            self.answer,
            self.wait,
        )
        for _ in range(STEPS):
            self.dice.choice(acts)()
            self.check()
        for _ in range(60):
            while self.queue:
                self.answer()
            self.sent(self.bench.wait(700))
            if not self.queue:
                break
        assert not self.queue
        self.check()
        self.check_rest()

    # What people and apps do --------------------------------------------------------------------------------

    def edit(self) -> None:
        account = self.dice.choice(ACCOUNTS)
        known = [key for key in self.cards if key[0] == account]
        key = self.dice.choice(known) if known and self.dice.random() < 0.6 else (account, self.fresh(account))
        card = self.cards.setdefault(key, Card({}))
        address, name = self.dice.choice(ADDRESSES), self.dice.choice("XYZ")
        mail: Fields = {"email": (address,) if address else ()}
        own: Fields = {"name": (name,)} if account == "shop" else {"n": (PersonName(given=name),)}
        card.fields = {**mail, **own}
        self.see(key)

    def delete(self) -> None:
        if self.cards:
            key = self.dice.choice(list(self.cards))
            del self.cards[key]
            self.see(key)

    def link(self) -> None:
        sides = [[key[1] for key in self.cards if key[0] == account] for account in ACCOUNTS]
        if all(sides):
            left, right = (self.dice.choice(ids) for ids in sides)
            said = hand.join(self.bench.state, self.config, left, right)
            self.sent(self.bench.take())
            if isinstance(said, Linked):
                self.apart.discard((left, right))
                assert (left, right) in self.linked()

    def unlink(self) -> None:
        pairs = [link for link in self.bench.links() if link.status != "ended" and link.paired]
        if pairs:
            said = hand.part(self.bench.state, self.config, self.dice.choice(pairs).id)
            new = self.bench.take()
            self.sent(new)
            if isinstance(said, Unlinked):
                self.apart.add((said.left, said.right))

    def retry(self) -> None:
        for link in self.bench.links():
            hand.retry(self.bench.state, link.id)
        self.sent(self.bench.take())

    def wait(self) -> None:
        self.sent(self.bench.wait(self.dice.choice((1, 5, 60))))

    def answer(self) -> None:
        """One command, in any order, is done or refused."""
        if not self.queue:
            return
        command = self.queue.pop(self.dice.randrange(len(self.queue)))
        if isinstance(command, Look):
            card, at = self.cards.get((command.account, command.contact_id)), self.tick()
            fields = None if card is None else card.fields
            self.sent(self.bench.take(self.bench.looked(command, fields, at=at, until=at + 0.1)))
        elif isinstance(command, Write):
            self.sent(self.bench.take(answer(command, self.done(command))))

    def done(self, command: Write) -> Written | Refused:
        account = command.aim.account
        if not isinstance(command, Tag) and self.dice.random() < 0.2:
            return Refused(reason="no")
        key = (account, self.fresh(account) if isinstance(command, Create) else command.contact_id)
        if isinstance(command, Create):
            self.cards[key] = Card(dict(command.fields), mark=command.aim.link)
        elif key not in self.cards:
            return Refused(reason="gone", gone=True)
        card = self.cards[key]
        match command:
            case Update(fields=fields):
                card.fields = {**card.fields, **fields}
            case Tag(tag=tag):
                card.tags.add(tag)
            case Create():
                pass
            case untag:
                card.tags.discard(untag.tag)
        at = self.tick()
        contact = Contact(fields=dict(card.fields), mark=card.mark, tags=tuple(sorted(card.tags)))
        seen = Observation(contact_id=key[1], order=order(at, at + 0.1), contact=contact)
        return Written(contact_id=key[1], seen=seen)

    # What has to hold ---------------------------------------------------------------------------------------

    def check(self) -> None:
        assert not self.apart & self.linked()
        held = [
            (side, contact_id)
            for link in self.bench.links()
            for side in SIDES
            if link.status != "ended" and (contact_id := link.half(side).contact_id) is not None
        ]
        assert len(held) == len(set(held))

    def check_rest(self) -> None:
        """Whoever is in the sync has the same name on both sides, and every contact has its link."""
        for (account, contact_id), card in self.cards.items():
            link = self.bench.link_of(account, contact_id)
            if link.status != "active" or link.left.refused or link.right.refused:
                continue
            office = self.cards.get(("office", link.right.contact_id or ""))
            if account == "shop" and office is not None:
                (name,) = office.fields["n"]
                assert isinstance(name, PersonName)
                assert card.fields["name"] == (name.given or name.family,)

    def linked(self) -> set[tuple[str | None, str | None]]:
        links = [link for link in self.bench.links() if link.status != "ended" and link.paired]
        return {(link.left.contact_id, link.right.contact_id) for link in links}

    def sent(self, commands: list[Command]) -> None:
        """Queue commands, each write once; no contact is made beside one that has its address (C3)."""
        for command in commands:
            if isinstance(command, Write):
                if (key := (command.aim.link, command.aim.side, command.aim.version)) in self._issued:
                    continue
                self._issued.add(key)
            if isinstance(command, Create):
                assert not self.bench.state.sharing(command.aim.account, command.addresses)
            self.queue.append(command)

    @property
    def config(self) -> Config:
        return self.bench.state.configs[self.bench.connection.name]

    def see(self, key: tuple[str, str]) -> None:
        card, at = self.cards.get(key), self.tick()
        if card is None:
            self.sent(self.bench.take(self.bench.deleted(*key, at=at, until=at + 0.1)))
        else:
            event = self.bench.changed(*key, card.fields, at=at, until=at + 0.1, tags=card.tags, mark=card.mark)
            self.sent(self.bench.take(event))

    def tick(self) -> float:
        self.bench.state.now += 2 * SECOND
        return (self.bench.state.now - START) / SECOND

    def fresh(self, account: str) -> str:
        return f"{account}-{self.dice.getrandbits(40)}"


@pytest.mark.parametrize("seeds", [range(at, at + 25) for at in range(0, 100, 25)], ids=str)
def test_c7_whatever_people_do_by_hand_pairs_stay_whole_and_unlinked_ones_apart(seeds: range) -> None:
    for seed in seeds:
        World(seed).play()
