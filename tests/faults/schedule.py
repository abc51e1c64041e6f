"""What happens in a run and when, drawn from a seed: people's changes, and everything that goes wrong. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from random import Random
from typing import Literal, TypeAlias

import msgspec

from tests.faults.model import FIELDS

RightApp = Literal["stripe", "google_contacts", "carddav", "quickbooks"]
Side = Literal["left", "right"]
ROLES = ("sync", "connectors", "ingest")
POINTS = {
    "sync": ("produce.before", "produce.midst", "produce.after", "commit.before", "commit.after"),
    "ingest": ("produce.before", "produce.midst", "produce.after", "commit.before", "commit.after"),
    "connectors": (
        *("produce.before", "produce.midst", "produce.after", "commit.before", "commit.after"),
        *("send.before", "send.midst", "send.after", "record.before", "record.after"),
    ),
}
WIRES = ("kafka", "postgres", "stripe", "google", "carddav")
"""Between whom there is a proxy: the roles and each of these."""
MODES: tuple[Literal["delay", "reset", "half_open", "swallow"], ...] = ("delay", "reset", "half_open", "swallow")
AHEAD = (0, 0, 600, -600)
"""Seconds by which a process's clock is ahead."""


class Pair(msgspec.Struct, frozen=True):
    """A connection: a Stripe account on the left, one of any app on the right, and how many people are in it."""

    right: RightApp
    people: int


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How large a run is. Times are seconds."""

    pairs: tuple[Pair, ...]
    changes: int
    seconds: float
    syncs: int
    ingests: int
    connectors: int
    kills: int
    """Half of them at named points."""
    stops: tuple[tuple[str, float], ...]
    """Whose processes stand still, and for how long."""
    broker_kills: int
    postgres_kills: int
    wires: int
    """How often each mode of each proxy comes."""
    wire_seconds: tuple[float, float]
    storms: int
    """Of each kind."""
    storm_seconds: float
    drops: int
    duplicates: int
    gaps: tuple[float, ...]
    poison: int
    expiries: int
    revocations: int
    revoked_seconds: float
    creates: int
    deletions: int
    """In each connection."""
    visible: float
    """Seconds until Google's lists show a change."""
    rest: float
    """The longest that all may take to come to rest after the last fault."""
    quiet: float
    """For how long nothing may be written then."""


FULL = Size(
    pairs=(
        *(Pair("stripe", 54),) * 5,
        *(Pair("google_contacts", 15),) * 8,
        *(Pair("carddav", 40),) * 2,
        Pair("quickbooks", 30),
    ),
    changes=20_000,
    seconds=1290,
    syncs=3,
    ingests=2,
    connectors=3,
    kills=200,
    stops=(
        *(("sync", 10.0),) * 4,
        *(("connectors", 10.0),) * 2,
        *(("connectors", 36.0),) * 2,
        *(("ingest", 18.0),) * 2,
    ),
    broker_kills=3,
    postgres_kills=3,
    wires=1,
    wire_seconds=(3, 9),
    storms=4,
    storm_seconds=15,
    drops=6,
    duplicates=5,
    gaps=(180, 180),
    poison=30,
    expiries=4,
    revocations=3,
    revoked_seconds=25,
    creates=7,
    deletions=6,
    visible=8,
    rest=300,
    quiet=30,
)

QUICK = Size(
    pairs=(Pair("stripe", 16), Pair("google_contacts", 6), Pair("carddav", 10), Pair("quickbooks", 8)),
    changes=300,
    seconds=60,
    syncs=2,
    ingests=2,
    connectors=2,
    kills=6,
    stops=(("sync", 8.0),),
    broker_kills=1,
    postgres_kills=1,
    wires=0,
    wire_seconds=(2, 4),
    storms=1,
    storm_seconds=5,
    drops=1,
    duplicates=1,
    gaps=(8,),
    poison=3,
    expiries=1,
    revocations=1,
    revoked_seconds=5,
    creates=1,
    deletions=1,
    visible=2,
    rest=120,
    quiet=6,
)


class Edit(msgspec.Struct, frozen=True, tag=True):
    """A person changes fields of a contact on one side, as one save."""

    at: float
    pair: int
    person: int
    side: Side
    fields: tuple[str, ...]


class Make(msgspec.Struct, frozen=True, tag=True):
    """A person makes a contact on one side, or two do so at once on both."""

    at: float
    pair: int
    person: int
    sides: tuple[Side, ...]


class Delete(msgspec.Struct, frozen=True, tag=True):
    """A person deletes a contact on the right, and brings it back after `back` seconds (None: doesn't)."""

    at: float
    pair: int
    person: int
    back: float | None


Change: TypeAlias = Edit | Make | Delete


class Fault(msgspec.Struct, frozen=True):
    """Something goes wrong: what, where, for how long (0: for a moment), and what more there is to know."""

    at: float
    kind: str
    where: str
    seconds: float = 0.0
    more: str = ""


class Schedule(msgspec.Struct, frozen=True):
    """A run. `first` says on which sides each person of each connection is in the beginning."""

    seed: int
    size: Size
    first: tuple[tuple[tuple[Side, ...], ...], ...]
    changes: tuple[Change, ...]
    faults: tuple[Fault, ...]
    skews: tuple[int, ...]
    """Seconds that the clocks of processes are ahead, in the order of their starts."""


def drawn(seed: int, size: Size) -> Schedule:
    """The schedule of a seed: the same one whenever it is asked for."""
    rng = Random(f"contactsync {seed}")
    changes: list[Change] = []
    for at, pair in enumerate(size.pairs):
        total = sum(each.people for each in size.pairs)
        changes += _changes(rng, size, at, pair, round(size.changes * pair.people / total) + 1)
    return Schedule(
        seed=seed,
        size=size,
        first=tuple(tuple(_sides(rng) for _ in range(pair.people)) for pair in size.pairs),
        changes=tuple(sorted(changes, key=lambda change: change.at)),
        faults=tuple(sorted(_faults(rng, size), key=lambda fault: fault.at)),
        skews=tuple(rng.choice(AHEAD) for _ in range(4 * size.kills + 100)),
    )


def _sides(rng: Random) -> tuple[Side, ...]:
    choices: tuple[tuple[Side, ...], ...] = (("left", "right"), ("left", "right"), ("left",), ("right",))
    return rng.choice(choices)


def _changes(rng: Random, size: Size, at: int, pair: Pair, count: int) -> Iterator[Change]:
    """One connection's: its people take turns, and each one's sides alternate."""
    made = 0
    saves: list[tuple[int, Side, tuple[str, ...]]] = []
    for turn in itertools.count():
        for person in rng.sample(range(pair.people), pair.people):
            if made >= count:
                break
            fields = tuple(rng.sample(FIELDS, rng.choice((1, 1, 2))))
            side: Side = "right" if (person + turn) % 2 else "left"
            made += len(fields)
            saves.append((person, side, fields))
        if made >= count:
            break
    gap = size.seconds / len(saves)
    for number, (person, side, fields) in enumerate(saves):
        moment = (number + rng.random()) * gap
        if rng.random() < 0.15:
            # Soon after somebody else's, on the other side: they can't have seen each other's.
            other: Side = "right" if side == "left" else "left"
            yield Edit(moment + rng.random(), at, person, other, (rng.choice(FIELDS),))
        yield Edit(moment, at, person, side, fields)
    for extra in range(size.creates):
        sides: tuple[tuple[Side, ...], ...] = (("left",), ("right",), ("left", "right"))
        yield Make(rng.uniform(0.05, 0.9) * size.seconds, at, pair.people + extra, rng.choice(sides))
    for person in rng.sample(range(pair.people), size.deletions):
        back = rng.uniform(3, 25) if rng.random() < 0.5 else None
        yield Delete(rng.uniform(0.2, 0.8) * size.seconds, at, person, back)


def _faults(rng: Random, size: Size) -> Iterator[Fault]:
    def moment(low: float = 0.02, high: float = 0.97) -> float:
        return rng.uniform(low, high) * size.seconds

    yield from _kills(rng, size)
    yield from _outages(rng, size, moment)
    yield from _sicknesses(rng, size, moment)
    for number in range(size.poison):
        kind = ("poison_webhook", "poison_message")[number % 2]
        yield Fault(moment(), kind, _account(rng, size, "stripe"), more=str(rng.randrange(4)))


Moment: TypeAlias = Callable[[float, float], float]


def _outages(rng: Random, size: Size, moment: Moment) -> Iterator[Fault]:
    """Of processes, servers and connections."""
    end = size.seconds
    for number, (role, seconds) in enumerate(size.stops):
        slot = end / len(size.stops)
        yield Fault((number + rng.uniform(0.1, 0.6)) * slot, "stop", _process(rng, size, role), seconds)
    for number in range(size.broker_kills):
        yield Fault((number + rng.uniform(0.3, 0.7)) * end / size.broker_kills, "broker", "", rng.uniform(0.5, 6))
    for number in range(size.postgres_kills):
        yield Fault((number + rng.uniform(0.1, 0.9)) * end / size.postgres_kills, "postgres", "")
    modes = [(wire, mode) for wire in WIRES for mode in MODES]
    for wire, mode in modes * size.wires or rng.sample(modes, 4):
        yield Fault(moment(0.02, 0.97), "wire", wire, rng.uniform(*size.wire_seconds), mode)


def _sicknesses(rng: Random, size: Size, moment: Moment) -> Iterator[Fault]:
    """Of accounts."""
    for _ in range(size.storms):
        yield Fault(moment(0.05, 0.9), "throttled", _account(rng, size), size.storm_seconds)
        yield Fault(moment(0.05, 0.9), "broken", _account(rng, size), size.storm_seconds)
    for _ in range(size.drops):
        yield Fault(moment(0.05, 0.9), "dropped", _account(rng, size, "stripe"), 2 * size.storm_seconds)
        yield Fault(moment(0.05, 0.9), "dropped", _account(rng, size, "google_contacts"), 2 * size.storm_seconds)
        yield Fault(moment(0.05, 0.9), "dropped", _account(rng, size, "quickbooks"), 2 * size.storm_seconds)
    for _ in range(size.duplicates):
        yield Fault(moment(0.05, 0.9), "duplicates", _account(rng, size, "stripe"), 2 * size.storm_seconds)
    for seconds in size.gaps:
        yield Fault(moment(0.1, 0.6), "gap", _account(rng, size, "stripe"), seconds)
    for _ in range(size.expiries):
        yield Fault(moment(0.1, 0.95), "expired", _account(rng, size, "google_contacts"))
        yield Fault(
            moment(0.1, 0.95), "access_expired", _account(rng, size, rng.choice(("google_contacts", "quickbooks")))
        )
    for number in range(size.revocations):
        app = ("stripe", "google_contacts")[number % 2]
        yield Fault(moment(0.1, 0.8), "revoked", _account(rng, size, app), size.revoked_seconds)


def _kills(rng: Random, size: Size) -> Iterator[Fault]:
    """Spread evenly. Half come from outside, half at points, each point of each role in its turn."""
    places = [(role, point) for role in ROLES for point in POINTS[role]]
    rng.shuffle(places)
    turns = itertools.cycle(places)
    for number in range(size.kills):
        at = (number + rng.uniform(0.1, 0.9)) * 0.97 * size.seconds / size.kills
        if number % 2:
            role, point = next(turns)
            yield Fault(at, "point", _process(rng, size, role, most=2), more=f"{point}:{rng.randint(1, 4)}")
        else:
            yield Fault(at, "kill", _process(rng, size, rng.choice(ROLES)))


def _process(rng: Random, size: Size, role: str, *, most: int = 9) -> str:
    """One of the role's processes, of the first `most`: a spare may have nothing to do and come by no point."""
    count = {"sync": size.syncs, "ingest": size.ingests, "connectors": size.connectors}[role]
    return f"{role}-{rng.randrange(min(count, most))}"


def _account(rng: Random, size: Size, app: str = "") -> str:
    """An account of the app, or of any but address books, which have no faults of their own."""
    names = [f"l{at}" for at in range(len(size.pairs)) if app in ("", "stripe")]
    names += [
        f"r{at}" for at, pair in enumerate(size.pairs) if pair.right == app or (not app and pair.right != "carddav")
    ]
    return rng.choice(names)
