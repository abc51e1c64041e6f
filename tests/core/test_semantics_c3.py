"""Never two contacts created for one e-mail in one account, whatever the races (SEMANTICS C3), as a law."""

from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.contracts.commands import Command, Create, Look, Tag, Untag, Update
from services.contracts.contact import Fields, PersonName, Values
from services.contracts.receipts import Refused
from services.sync.core.take import Input
from tests.core.bench import BOOK, SECOND_SHOP, SHOP, Bench, answer, writes

ADDRESSES = ("a@example.com", "b@example.com", "c@example.com")
ACCOUNTS = ("shop", "second", "office")
MANIFESTS = {"shop": SHOP, "second": SHOP, "office": BOOK}


def person(account: str) -> tuple[str, Values]:
    return ("n", (PersonName(given="Ada", family="King"),)) if account == "office" else ("name", ("Ada King",))


@dataclass
class World:
    """Three truthful accounts, two connections that share one of them, and messages in any order."""

    bench: Bench = field(
        default_factory=lambda: Bench(manifests=MANIFESTS, scanned=frozenset(MANIFESTS), more=(SECOND_SHOP,))
    )
    contacts: dict[tuple[str, str], Fields] = field(default_factory=dict)
    tags: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    marks: dict[tuple[str, str], str] = field(default_factory=dict)
    made: list[tuple[str, str, tuple[str, ...]]] = field(default_factory=list)
    clock: float = 100
    ids: int = 0
    mail: list[Input] = field(default_factory=list)
    orders: list[Command] = field(default_factory=list)

    def _tell(self, key: tuple[str, str]) -> None:
        tags, mark = self.tags.get(key, set()), self.marks.get(key)
        fields = dict(self.contacts[key])
        self.mail.append(self.bench.changed(*key, fields, at=self.clock, until=self.clock, tags=tags, mark=mark))

    def new(self, account: str, address: str) -> None:
        self.clock += 10
        self.ids += 1
        key = (account, f"p{self.ids}")
        name, values = person(account)
        self.contacts[key] = {name: values, "email": (address,)}
        self._tell(key)

    def readdress(self, index: int, address: str) -> None:
        if self.contacts:
            self.clock += 10
            key = sorted(self.contacts)[index % len(self.contacts)]
            self.contacts[key] = {**self.contacts[key], "email": (address,)}
            self._tell(key)

    def delete(self, index: int) -> None:
        if self.contacts:
            self.clock += 10
            key = sorted(self.contacts)[index % len(self.contacts)]
            del self.contacts[key]
            self.mail.append(self.bench.deleted(*key, at=self.clock, until=self.clock))

    def deliver(self, index: int, *, again: bool) -> None:
        if self.mail:
            item = self.mail[index % len(self.mail)]
            if not again:
                self.mail.remove(item)
            self.orders += self.bench.take(item)

    def work(self, index: int) -> None:
        if not self.orders:
            return
        command = self.orders.pop(index % len(self.orders))
        self.clock += 10
        match command:
            case Create():
                self._create(command)
            case Update() | Tag() | Untag():
                self._change(command)
            case Look():
                seen = self.contacts.get((command.account, command.contact_id))
                known = None if seen is None else dict(seen)
                self.mail.append(self.bench.looked(command, known, at=self.clock, until=self.clock))
            case _:
                raise AssertionError("nothing is to be asked here")

    def _create(self, command: Create) -> None:
        account = command.aim.account
        for where, contact_id, addresses in self.made:
            now = self.contacts.get((where, contact_id))
            shared = set(command.addresses) & set(addresses)
            assert where != account or now is None or not shared or not shared & set(map(str, now.get("email", ())))
        self.ids += 1
        key = (account, f"m{self.ids}")
        self.contacts[key] = dict(command.fields)
        self.marks[key] = command.aim.link
        self.made.append((*key, command.addresses))
        self._tell(key)
        self.mail.append(self.bench.written(command, dict(command.fields), at=self.clock, contact_id=key[1]))

    def _change(self, command: Update | Tag | Untag) -> None:
        key = (command.aim.account, command.contact_id)
        if key not in self.contacts:
            self.mail.append(answer(command, Refused(reason="it isn't there", gone=True)))
            return
        tags = self.tags.setdefault(key, set())
        match command:
            case Update():
                self.contacts[key] = {**self.contacts[key], **command.fields}
            case Tag():
                tags.add(command.tag)
            case Untag():
                tags.discard(command.tag)
        self._tell(key)
        self.mail.append(self.bench.written(command, dict(self.contacts[key]), at=self.clock, tags=set(tags)))

    def rest(self) -> None:
        for _ in range(300):
            while self.mail:
                self.deliver(0, again=False)
            self.work(0)
            if not self.mail and not self.orders:
                self.orders += self.bench.wait(3)
                if not self.orders:
                    return
        raise AssertionError("the world doesn't come to rest")


actions = st.lists(
    st.one_of(
        st.tuples(st.just("new"), st.sampled_from(ACCOUNTS), st.sampled_from(ADDRESSES)),
        st.tuples(st.just("readdress"), st.integers(0, 9), st.sampled_from(ADDRESSES)),
        st.tuples(st.just("delete"), st.integers(0, 9)),
        st.tuples(st.just("deliver"), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("work"), st.integers(0, 4)),
        st.tuples(st.just("wait"), st.integers(1, 3)),
    ),
    max_size=30,
)


HEIR_WITH_A_CREATE_IN_FLIGHT: list[tuple[object, ...]] = [
    ("new", "shop", "a@example.com"),
    ("delete", 0),
    ("new", "shop", "c@example.com"),
    ("deliver", 0, True),
    ("deliver", 1, True),
    ("work", 0),
    ("readdress", 1, "a@example.com"),
    ("deliver", 4, False),
    ("new", "shop", "c@example.com"),
    ("wait", 2),
]


@given(actions)
@example(HEIR_WITH_A_CREATE_IN_FLIGHT)
@settings(max_examples=150, deadline=None)
def test_c3_no_address_is_created_twice_and_nothing_stays_undecided(history: list[tuple[object, ...]]) -> None:
    world = World()
    for action in history:
        match action:
            case ("new", str(account), str(address)):
                world.new(account, address)
            case ("readdress", int(index), str(address)):
                world.readdress(index, address)
            case ("delete", int(index)):
                world.delete(index)
            case ("deliver", int(index), bool(again)):
                world.deliver(index, again=again)
            case ("work", int(index)):
                world.work(index)
            case ("wait", int(seconds)):
                world.orders += world.bench.wait(seconds)
            case _:
                raise AssertionError(action)
    world.rest()
    for link in world.bench.links():
        if link.status != "ended":
            assert not link.unsettled
            assert link.wait is None or link.wait.reason == "duplicate"
            assert link.reconsider_at is None
    assert world.bench.state.reservations == {}
    for key in world.contacts:
        record = world.bench.record(*key)
        assert record.contact is not None
        assert (record.contact.fields, record.looking) == (world.contacts[key], None)
    assert writes(world.bench.wait(60)) == []
