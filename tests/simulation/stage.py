"""A story on its stage: how it begins, what has to hold after every step, and how it ends."""

from __future__ import annotations

from random import Random
from typing import ClassVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import (
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
)
from msgspec import structs

from services.contracts.commands import Create
from services.contracts.connection import Deletions, Direction
from services.contracts.contact import Fields, PersonName, Side
from tests.simulation.account import PATHS, Person
from tests.simulation.drawing import (
    THEMES,
    TILL,
    Drawn,
    Edit,
    Key,
    Tally,
    one_of,
    people,
)
from tests.simulation.features import Features
from tests.simulation.ledger import FORBIDDEN, Entry
from tests.simulation.message import Between, Message
from tests.simulation.play import rescan, rest
from tests.simulation.ruling import VARIANTS
from tests.simulation.steady import unsound
from tests.simulation.story import nothing
from tests.simulation.sync import two_way
from tests.simulation.verdict import judge
from tests.simulation.world import LOSABLE, World


class Stage(RuleBasedStateMachine):
    """One story: a world, and everything that may happen to it."""

    done: ClassVar[Tally] = Tally()

    def __init__(self) -> None:
        super().__init__()
        self.edits = 0
        self.has = Features()
        self.lossy = False
        """Whether messages vanish."""
        self.sound = False
        """Whether the last step ended, and nothing was found wrong."""

    @initialize(
        target=people,
        theme=st.sampled_from(sorted(THEMES)),
        winner=st.sampled_from(["left", "right"]),
        deletions=st.sampled_from(["both", "right_to_left", "left_to_right", "none"]),
        direction=st.sampled_from(["two_way", "left_to_right", "right_to_left"]),
        rules=st.integers(0, len(VARIANTS) - 1),
        finds=st.booleans(),
        touches=st.booleans(),
        pairs=st.lists(st.sets(st.sampled_from(["shop", "office", "till"]), min_size=1), min_size=1, max_size=3),
        told=st.booleans(),
        lossy=st.sampled_from([False, False, True]),
        settled=st.sampled_from([True, True, False]),
    )
    def begin(
        self,
        *,
        theme: str,
        winner: Side,
        deletions: Deletions,
        direction: Direction,
        rules: int,
        finds: bool,
        touches: bool,
        pairs: list[set[str]],
        told: bool,
        lossy: bool,
        settled: bool,
    ) -> MultipleResults[Key]:
        """Connect accounts in which there are some contacts already, and read them."""
        self.has, self.lossy = Features(**THEMES[theme]), lossy
        connection = structs.replace(two_way(deletions=deletions if self.has.deletions else "none"), winner=winner)
        if self.has.directions:
            connection = structs.replace(connection, direction=direction)
        if self.has.rules:
            connection = structs.replace(connection, rules=VARIANTS[rules])
        more = (structs.replace(connection, name=TILL, left="till"),) if self.has.twin else ()
        self.world = World(connection, more=more, finds=finds, touches=touches)
        self.world.hands = self.has.hands
        made = [key for accounts in pairs for key in self._make(accounts, None, {"name", "phone"})]
        if not made:
            made = self._make({"shop"}, None, {"name"})
        if not told:
            self.world.bag.clear()
        for account in self.world.accounts:
            self.world.scan(account, Random(0), nothing)
        self.world.cursor = len(self.world.accounts["office"].log)
        if settled:
            rest(self.world, Random(0))
            self.world.faults = True
        self.done.stories += 1
        return multiple(*(self._live() if settled else made))

    # What has to hold --------------------------------------------------------------------------------------

    @invariant()
    def sound_now(self) -> None:
        """Nothing is wrong, whatever is still on its way."""
        self._hold(unsound(self.world))
        self.world.behind = False
        self.sound = True

    def teardown(self) -> None:
        """Everything comes to rest, and is as the model says; reading all of it again changes nothing."""
        if not self.sound:
            return
        self.world.tell("-- no more faults")
        rest(self.world, Random(0))
        self._hold([*unsound(self.world), *judge(self.world)])
        rescan(self.world)
        self._hold([*unsound(self.world), *judge(self.world)])

    # ---------------------------------------------------------------------------------------------------------

    def _hold(self, wrong: list[str]) -> None:
        if wrong:
            note("\n".join(self.world.story))
        assert not wrong, "; ".join(wrong)

    def _step(self, name: str) -> None:
        self.sound = False
        self.done.steps += 1
        self.done.rules[name] += 1
        self.world.pass_time(20_000)

    def _idle(self) -> None:
        self.done.steps -= 1
        self.done.idle += 1

    def _send(self, picks: list[int], micros: int, meanwhile: Edit | None, *, behind: bool) -> None:
        self.world.behind = behind
        sent = False
        for which in picks:
            bag = self.world.bag
            if bag:
                message = bag[which % len(bag)]
                sent |= self.world.deliver(message, Drawn(1.0, micros), self._between(meanwhile))
        if not sent:
            self._idle()

    def _between(self, meanwhile: Edit | None) -> Between:
        return nothing if meanwhile is None else lambda _: self._edit(meanwhile, idle=False)

    def _move(self, what: str, which: int, drawn: Drawn) -> bool:
        """Let one thing go on; False if there is none."""
        bag, due = self.world.bag, self.world.due()
        match what:
            case "deliver" if bag:
                return self.world.deliver(bag[which % len(bag)], drawn, nothing)
            case "work":
                return self._work(which, drawn, nothing)
            case "poll" if self.world.cursor < len(self.world.accounts["office"].log):
                self.world.poll(drawn, nothing)
            case "sweep" if due:
                self.world.sweep(due[which % len(due)])
            case "wait":
                self.world.pass_time(1 + drawn.micros * which)
            case _:
                return False
        return True

    def _work(self, which: int, drawn: Drawn, between: Between) -> bool:
        entries = self._entries()
        if entries:
            self.world.work(one_of(entries, which), drawn, between)
        return bool(entries)

    def _known(self) -> set[Key]:
        return {(name, person) for name, account in self.world.accounts.items() for person in account.people}

    def _entries(self) -> list[Entry]:
        return [entry for account in self.world.accounts for entry in self.world.ledger.open(account)]

    def _losable(self) -> list[Message]:
        return [message for message in self.world.bag if isinstance(message.body, LOSABLE)]

    def _links(self, *, paired: bool = False, refused: bool = False) -> list[str]:
        """Return the links that haven't ended, and have two contacts, or a value that was refused."""
        links = [link for link in self.world.state.links.values() if link.status != "ended"]
        links = [link for link in links if link.paired or not paired]
        return [link.id for link in links if link.left.refused or link.right.refused or not refused]

    def _live(self, tag: str | None = None) -> list[Key]:
        """Return the contacts that are there, and have that tag."""
        everybody = [(name, person) for name, account in self.world.accounts.items() for person in account.live()]
        return [(name, person.id) for name, person in everybody if tag is None or tag in person.tags]

    def _restorable(self) -> list[Key]:
        gone = [person for person in self.world.accounts["office"].people.values() if person.deleted]
        return [("office", person.id) for person in gone]

    def _mergeable(self) -> list[Person]:
        return [person for person in self.world.accounts["office"].live() if self._deletable(("office", person.id))]

    def _person(self, key: Key, *, idle: bool = True) -> Person | None:
        person = self.world.accounts[key[0]].people[key[1]]
        if person.deleted and idle:
            self._idle()
        return None if person.deleted else person

    def _deletable(self, key: Key) -> bool:
        """Whether it is there, and not just being made: an office can't tell a deleted contact from one never made."""
        person = self._person(key)
        making = [entry.command.aim.link for entry in self.world.ledger.open("office") if _creates(entry)]
        return person is not None and person.mark not in making

    def _own_address(self) -> str:
        self.edits += 1
        return f"e{self.edits}@example.test"

    def _make(self, accounts: set[str], address: str | None, names: set[str]) -> list[Key]:
        own = address if address is not None and self.has.shared else self._own_address()
        made = []
        for account in sorted(accounts & self.world.accounts.keys()):
            self.edits += 1
            fields: Fields = {"email": (own,)}
            for name in sorted(names):
                fields[PATHS[account][name]] = self._value(account, name, "new")
            made.append((account, f"{account[0]}{self.edits}"))
            self.world.create(*made[-1], fields)
        return made

    def _edit(self, edit: Edit, *, idle: bool = True) -> None:
        (account, contact_id), name, kind = edit
        if self._person((account, contact_id), idle=idle) is not None:
            values = self._value(account, name, kind)
            self.world.edit(account, contact_id, name, {PATHS[account][name]: values})

    def _value(self, account: str, name: str, kind: str) -> tuple[str | PersonName, ...]:
        self.edits += 1
        match name, kind:
            case _, "clear":
                return ()
            case "name", _ if account == "office":
                return (PersonName(given="Ada", family=f"Nr{self.edits}"),)
            case "name", _:
                return (f"Ada Nr{self.edits}",)
            case "phone", _:
                return (f"+1 202 555 {self.edits:04d}",)
            case _, "forbidden":
                return (f"{FORBIDDEN} {self.edits}",)
            case _, "long":
                return (f"{FORBIDDEN} {self.edits} and longer than any shop takes it",)
            case _:
                return (f"note {self.edits}",)


def _creates(entry: Entry) -> bool:
    return isinstance(entry.command, Create)
