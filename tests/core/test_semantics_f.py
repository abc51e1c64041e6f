"""No loops, and any order (SEMANTICS F1, F2) on the core: also as laws over generated histories."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.contracts.commands import Command, Create, Look, Tag, Untag, Update, Write
from services.contracts.contact import Contact, Fields, PersonName, Side
from services.contracts.receipts import Deferred
from services.sync.core.take import Input, Reconsider
from tests.core.bench import ADA, CARD, TWO_WAY, Bench, answer, only, phone, tel, writes


def test_f1_an_echo_before_the_apps_answer_comes_to_nothing() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    echo = bench.changed("office", "card", {**CARD, "tel": tel("55")}, at=100.5)
    assert bench.take(echo, echo) == []
    assert bench.take(bench.written(update, {**CARD, "tel": tel("55")}, at=101)) == []
    assert bench.take(echo) == []
    assert writes(bench.wait(3600)) == []


def test_f1_the_echo_of_a_create_comes_to_nothing() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("office", "card", CARD)), Create)
    bench.take(bench.written(create, ADA, at=1, contact_id="cus"))
    assert writes(bench.take(bench.changed("shop", "cus", ADA, at=1, mark=create.aim.link))) == []


def test_f1_two_apps_that_format_differently_come_to_rest() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    told = bench.take(bench.changed("shop", "cus", {**ADA, "description": ("one  two",)}, at=100))
    for turn in range(1, 6):
        if not told:
            break
        update = only(told, Update)
        made = (
            {**CARD, "note": ("One two.",)} if update.aim.account == "office" else {**ADA, "description": ("one two",)}
        )
        told = bench.take(bench.written(update, made, at=100 + 10 * turn))
    assert told == []


def test_f2_on_a_tie_the_current_object_is_fetched() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100))
    look = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("66")}, at=100)), Look)
    assert look.account == "shop"


@pytest.mark.parametrize("sequence", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_f2_events_in_any_order_end_at_the_same_values(sequence: tuple[int, ...]) -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    edits = [bench.changed("shop", "cus", {**ADA, "phone": phone(f"5{n}")}, at=100 + 10 * n) for n in range(3)]
    now: Fields = dict(CARD)
    at = 200.0
    pending: list[Command] = []
    for n in (*sequence, *sequence):
        pending += bench.take(edits[n])
    while pending:
        update = pending.pop(0)
        assert isinstance(update, Update)
        now.update(update.fields)
        at += 10
        pending += bench.take(bench.written(update, now, at=at))
    assert bench.link().base["phone"].left == "+12025550152"
    assert now["tel"] == phone("52")


# A small world with two truthful apps ----------------------------------------------------------------------


@dataclass
class World:
    """Two accounts with one contact each, and messages that wait to be delivered in any order."""

    bench: Bench
    fields: dict[str, Fields]
    width: float = 0
    """How many seconds an observation may be off: more than 10 and neighbours can't be told apart."""
    clock: float = 100
    mail: list[Input] = field(default_factory=list)
    orders: list[Command] = field(default_factory=list)
    written: int = 0
    delivered: list[Input] = field(default_factory=list)

    def _seen(self, account: str) -> Input:
        fields, until = dict(self.fields[account]), self.clock + self.width
        return self.bench.changed(account, IDS[account], fields, at=self.clock, until=until)

    def edit(self, account: str, path: str, value: str) -> None:
        self.clock += 10
        made: Fields = {path: (PersonName(given=value, family="King"),)} if path == "n" else {path: (value,)}
        self.fields[account] = {**self.fields[account], **made}
        self.mail.append(self._seen(account))

    def deliver(self, index: int, *, again: bool) -> None:
        if self.mail:
            item = self.mail[index % len(self.mail)]
            if not again:
                self.mail.remove(item)
            self.delivered.append(item)
            self.orders += self.bench.take(item)

    def work(self, index: int, *, put_off: bool) -> None:
        """Carry one command out; its echo and its receipt go into the mail."""
        if not self.orders:
            return
        command = self.orders.pop(index % len(self.orders))
        self.clock += 10
        match command:
            case Update() if put_off:
                self.mail.append(answer(command, Deferred(reason="superseded")))
            case Update():
                self._write(command)
            case Look():
                seen = dict(self.fields[command.account])
                until = self.clock + self.width
                self.mail.append(self.bench.looked(command, seen, at=self.clock, until=until))
            case _:
                raise AssertionError(f"unexpected {type(command).__name__}")

    def _write(self, command: Write) -> None:
        assert isinstance(command, Update)
        account = command.aim.account
        self.written += 1
        self.fields[account] = {**self.fields[account], **command.fields}
        self.mail.append(self._seen(account))
        receipt = self.bench.written(command, dict(self.fields[account]), at=self.clock)
        self.mail.append(receipt)

    def rest(self) -> None:
        for _ in range(400):
            if not self.mail and not self.orders:
                return
            while self.mail:
                self.deliver(0, again=False)
            self.work(0, put_off=False)
        raise AssertionError("the world doesn't come to rest")


IDS = {"shop": "cus", "office": "card"}
PATHS = {"shop": ("name", "phone", "description"), "office": ("n", "tel", "note")}
VALUES = (("Ada", "Eva", "Mia"), ("+12025550155", "+12025550166", "+12025550177"), ("a", "b", "c"))

actions = st.lists(
    st.one_of(
        st.tuples(st.just("edit"), st.sampled_from(["shop", "office"]), st.integers(0, 2), st.integers(0, 2)),
        st.tuples(st.just("deliver"), st.integers(0, 7), st.booleans()),
        st.tuples(st.just("work"), st.integers(0, 3), st.booleans()),
        st.tuples(st.just("reconsider")),
    ),
    max_size=30,
)


def play(winner: Side, history: list[tuple[object, ...]], width: float = 0) -> World:
    bench = Bench(connection=replace(TWO_WAY, winner=winner))
    bench.paired(ADA, CARD)
    world = World(bench=bench, fields={"shop": dict(ADA), "office": dict(CARD)}, width=width)
    for action in history:
        match action:
            case ("edit", str(account), int(path), int(value)):
                text = VALUES[path][value]
                name = f"{text} King" if account == "shop" and path == 0 else text
                world.edit(account, PATHS[account][path], name)
            case ("deliver", int(index), bool(again)):
                world.deliver(index, again=again)
            case ("work", int(index), bool(put_off)):
                world.work(index, put_off=put_off)
            case _:
                world.orders += bench.take(Reconsider(link=bench.link().id))
    world.rest()
    return world


@given(st.sampled_from(["left", "right"]), actions, st.sampled_from([0, 15]))
@settings(max_examples=150, deadline=None)
def test_f2_whatever_the_order_of_messages_both_sides_end_equal_and_at_rest(
    winner: Side, history: list[tuple[object, ...]], width: float
) -> None:
    world = play(winner, history, width)
    link = world.bench.link()
    assert not link.unsettled
    assert link.wait is None
    for account, contact_id in IDS.items():
        assert world.bench.record(account, contact_id).contact == Contact(fields=world.fields[account])
    for line in ("name", "phone", "note"):
        base = link.base[line]
        assert base.left.replace("\x1f", " ").split() == base.right.replace("\x1f", " ").split()
    before = world.written
    assert writes(world.bench.take(*(Reconsider(link=link.id) for _ in range(3)))) == []
    edits = sum(action[0] == "edit" for action in history)
    assert before <= 2 * edits + 1


@given(st.sampled_from(["left", "right"]), actions)
@settings(max_examples=60, deadline=None)
def test_f2_a_replay_of_all_that_was_delivered_issues_no_write(winner: Side, history: list[tuple[object, ...]]) -> None:
    world = play(winner, history)
    base = world.bench.link().base
    assert writes(world.bench.take(*world.delivered)) == []
    assert world.bench.link().base == base


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=6), st.booleans())
@settings(max_examples=60, deadline=None)
def test_f2_without_a_conflict_no_last_edit_is_lost(edits: list[tuple[int, int]], reverse: bool) -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    world = World(bench=bench, fields={"shop": dict(ADA), "office": dict(CARD)})
    for path, value in edits:
        world.edit("shop", PATHS["shop"][path], f"{VALUES[0][value]} King" if path == 0 else VALUES[path][value])
    last = dict(world.fields["shop"])
    if reverse:
        world.mail.reverse()
    world.rest()
    assert world.fields["shop"] == last
    assert not [command for command in bench.sent if isinstance(command, Tag | Untag)]
