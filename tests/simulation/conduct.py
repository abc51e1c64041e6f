"""What people do and say: the rules of the state machine by which they act."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import (
    MultipleResults,
    consumes,
    multiple,
    precondition,
    rule,
)
from msgspec import structs

from services.contracts.connection import Direction
from services.contracts.contact import Fields
from tests.simulation.drawing import (
    ADDRESSES,
    EDITS,
    INDEX,
    NAMES,
    Edit,
    Key,
    one_of,
    people,
)
from tests.simulation.people import TRASH
from tests.simulation.ruling import VARIANTS, VIP
from tests.simulation.stage import Stage


class Conduct(Stage):
    """People make, change, delete and merge contacts; they change what is in force, and answer questions."""

    # What people do ----------------------------------------------------------------------------------------

    @rule(
        target=people,
        accounts=st.sets(st.sampled_from(["shop", "office", "till"]), min_size=1),
        address=ADDRESSES,
        names=st.sets(NAMES),
    )
    def create(self, accounts: set[str], address: str, names: set[str]) -> MultipleResults[Key]:
        """People make a contact, perhaps in several accounts at once."""
        self._step("create")
        return multiple(*self._make(accounts, address, names))

    @rule(edit=EDITS)
    def edit(self, edit: Edit) -> None:
        """A person changes a field."""
        self._step("edit")
        self._edit(edit)

    @precondition(lambda self: self.has.emails)
    @rule(key=people, address=st.none() | ADDRESSES)
    def readdress(self, key: Key, address: str | None) -> None:
        """A person changes an e-mail address."""
        self._step("readdress")
        if self._person(key) is not None:
            shared = address if self.has.shared else None
            self.world.edit(*key, "email", {"email": (shared or self._own_address(),)})

    @precondition(lambda self: self.has.deletions and len(self._live()) > 1)
    @rule(target=people, key=consumes(people))
    def delete(self, key: Key) -> MultipleResults[Key]:
        """A person deletes a contact."""
        self._step("delete")
        if self._deletable(key):
            self.world.delete(*key)
            return multiple(*(() if self.bundle("people") else self._live()[:1]))
        self._idle()
        return multiple(key)

    @precondition(lambda self: bool(self._restorable()))
    @rule(target=people, which=INDEX)
    def restore(self, which: int) -> Key:
        """A person brings a contact back, where that can be done."""
        self._step("restore")
        key = one_of(self._restorable(), which)
        self.world.restore(*key)
        return key

    @precondition(lambda self: self.has.merges and len(self._mergeable()) > 1)
    @rule(one=INDEX, into=INDEX, first=st.booleans())
    def merge(self, one: int, into: int, first: bool) -> None:
        """A person merges two contacts by hand: one is deleted, the other takes its addresses, in either order."""
        self._step("merge")
        cards = self._mergeable()
        gone = cards.pop(one % len(cards))
        heir = one_of(cards, into)
        fields: Fields = {"email": tuple(dict.fromkeys((*heir.addresses, *gone.addresses)))}
        if first:
            self.world.delete("office", gone.id)
        self.world.edit("office", heir.id, "email", fields)
        if not first:
            self.world.delete("office", gone.id)

    @precondition(lambda self: bool(self._live(TRASH)))
    @rule(which=INDEX)
    def untag(self, which: int) -> None:
        """A person removes the tag of a deletion."""
        self._step("untag")
        self.world.untag(*one_of(self._live(TRASH), which))

    @precondition(lambda self: self.has.rules)
    @rule(key=people)
    def mark(self, key: Key) -> None:
        """A person changes what the rules ask about a contact."""
        self._step("mark")
        if self._person(key) is not None:
            self.world.mark(*key)

    @precondition(lambda self: bool(self._live(VIP)))
    @rule(which=INDEX)
    def strip(self, which: int) -> None:
        """A person removes the tag that a rule set."""
        self._step("strip")
        self.world.strip(*one_of(self._live(VIP), which))

    # What people say ---------------------------------------------------------------------------------------

    @precondition(lambda self: self.has.rules)
    @rule(number=st.integers(0, len(VARIANTS) - 1))
    def change_rules(self, number: int) -> None:
        """A person changes the rules."""
        self._step("change rules")
        self.world.configure(structs.replace(self.world.connection, rules=VARIANTS[number]))

    @precondition(lambda self: self.has.directions)
    @rule(direction=st.sampled_from(["two_way", "left_to_right", "right_to_left"]))
    def turn(self, direction: Direction) -> None:
        """A person changes the direction."""
        self._step("turn")
        self.world.configure(structs.replace(self.world.connection, direction=direction))

    @rule(what=st.sampled_from(["apply", "pause", "resume", "resume", "fall", "back", "back"]), which=INDEX)
    def operate(self, what: str, which: int) -> None:
        """The file is applied again, a connection paused or resumed; an account takes no more writes, or does again."""
        self._step(what)
        connection = self.world.connections[which % len(self.world.connections)]
        match what:
            case "apply":
                self.world.configure(self.world.connection)
            case "pause":
                self.world.pause(connection.name)
            case "resume":
                self.world.resume(connection.name)
            case "fall":
                self.world.down.add(sorted(self.world.accounts)[which % len(self.world.accounts)])
            case _:
                for account in sorted(self.world.down):
                    self.world.back(account)

    @precondition(lambda self: bool(self.world.held()))
    @rule(which=INDEX, approved=st.booleans())
    def say(self, which: int, approved: bool) -> None:
        """A person approves or rejects what is held."""
        self._step("say")
        self.world.say(*one_of(self.world.held(), which), approved=approved)

    @precondition(lambda self: self.has.hands)
    @rule(left=INDEX, right=INDEX)
    def link(self, left: int, right: int) -> None:
        """A person links two contacts by hand."""
        self._step("link")
        shop, office = ([key for key in self._live() if key[0] == account] for account in ("shop", "office"))
        if shop and office:
            self.world.link(self.world.connection.name, one_of(shop, left)[1], one_of(office, right)[1])
        else:
            self._idle()

    @precondition(lambda self: self.has.hands and bool(self._links(paired=True)))
    @rule(which=INDEX)
    def unlink(self, which: int) -> None:
        """A person dissolves a pair."""
        self._step("unlink")
        self.world.unlink(one_of(self._links(paired=True), which))

    @precondition(lambda self: bool(self._links(refused=True)))
    @rule(which=INDEX)
    def retry(self, which: int) -> None:
        """A person wants what was refused to be tried again."""
        self._step("retry")
        self.world.retry(one_of(self._links(refused=True), which))
