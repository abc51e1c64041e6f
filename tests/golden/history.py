"""A golden history: what a story's transactions took in, what was decided then, and today's code beside it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from services.contracts.app import Manifest
from services.contracts.connection import Connection
from services.contracts.events import (
    ContactChanged,
    ContactDeleted,
    ContactMerged,
    ContactTouched,
    SubscriptionChanged,
)
from services.contracts.receipts import Absent, Found, Receipt
from services.sync.configs import Configs, Told, ToldAccount, ToldConnection, configs_of
from services.sync.core.slice import Slice
from services.sync.core.take import Input, Reconsider, Restored, Sighted
from services.sync.journal import Journalled
from services.sync.replay.difference import Outcome, outcome_of
from services.sync.replay.inputs import Given
from services.sync.replay.world import World
from services.sync.transact import Cause
from tests.core.bench import ASKED_BOOK, BOOK, SECOND, SHOP, START
from tests.core.scene import PLANS_SHOP, TIERED_BOOK
from tests.core.test_semantics_e7 import MAILER

FOLDER = Path(__file__).with_name("histories")
APPS: Mapping[str, Manifest] = {
    "shop": SHOP,
    "book": BOOK,
    "asked_book": ASKED_BOOK,
    "mailer": MAILER,
    "plans_shop": PLANS_SHOP,
    "tiered_book": TIERED_BOOK,
}
INPUTS: Mapping[str, type[Input]] = {
    kind.__name__: kind
    for kind in (
        ContactChanged,
        ContactDeleted,
        ContactMerged,
        ContactTouched,
        SubscriptionChanged,
        Receipt,
        Found,
        Absent,
        Reconsider,
        Restored,
        Sighted,
    )
}


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """What is in force."""

    connections: tuple[Connection, ...]
    accounts: dict[str, str]
    """Account -> its app, one of `APPS`."""
    version: int
    paused: bool

    def configs(self) -> Configs:
        """Compile it."""
        told = Told(
            connections=tuple(
                ToldConnection(msgspec.json.encode(each).decode(), self.version, self.paused, removed=False)
                for each in self.connections
            ),
            accounts=tuple(ToldAccount(name, app, "{}", removed=False) for name, app in sorted(self.accounts.items())),
        )
        return configs_of(told, APPS, incarnation=1)


class Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message with its type's name."""

    type: str
    body: msgspec.Raw
    app: str = ""
    """Of a command: whom it goes to."""


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One transaction, or another registry."""

    at: float
    """Seconds since the story's beginning."""
    registry: Registry | None = None
    given: Given | None = None
    inputs: tuple[Body, ...] = ()
    decided: tuple[Outcome, ...] = ()
    sent: tuple[Body, ...] = ()


def body_of(item: object, app: str = "") -> Body:
    """Return a message under its type's name."""
    return Body(type=type(item).__name__, body=msgspec.Raw(msgspec.json.encode(item)), app=app)


def causes(step: int, items: Iterable[Input]) -> list[Cause]:
    """Return inputs with names that are the same whenever the story is told."""
    return [Cause(item=item, type=type(item).__name__, id=f"{step}.{at}") for at, item in enumerate(items, 1)]


def told(
    at: float, inputs: Sequence[Body], folded: tuple[Sequence[Journalled], Slice], registry: Registry | None = None
) -> Step:
    """Return a transaction as a step."""
    journal, state = folded
    return Step(
        at=at,
        registry=registry,
        inputs=tuple(inputs),
        decided=tuple(outcome_of(row) for row in journal),
        sent=tuple(body_of(command, app) for command, app in state.commands),
    )


def read(path: Path) -> list[Step]:
    """Return the steps of a recorded history."""
    return [msgspec.json.decode(line, type=Step) for line in path.read_bytes().splitlines()]


def write(path: Path, steps: Iterable[Step]) -> None:
    """Record a history, one step a line."""
    path.write_bytes(b"".join(msgspec.json.encode(step) + b"\n" for step in steps))


def replayed(steps: Sequence[Step]) -> list[Step]:
    """Return the history as today's code would have it, from the same inputs."""
    world, registry, made = World(), None, []
    for number, step in enumerate(steps):
        registry = step.registry or registry
        assert registry is not None
        if step.given is not None:
            world.give(step.given)
        if not step.inputs:
            made.append(step)
            continue
        items = [msgspec.json.decode(each.body, type=INPUTS[each.type]) for each in step.inputs]
        now = START + round(step.at * SECOND)
        journal, state, _ = world.fold(causes(number, items), registry.configs(), now=now)
        made.append(told(step.at, step.inputs, (journal, state), step.registry))
    return made


def difference(was: Sequence[Step], now: Sequence[Step]) -> str:
    """Return what differs, step by step, as a person reads it; empty if nothing does."""
    found: list[str] = []
    for number, (old, new) in enumerate(zip(was, now, strict=True), 1):
        before, after = _lines(old), _lines(new)
        if before != after:
            inputs = ", ".join(each.type for each in old.inputs)
            lines = difflib.unified_diff(before, after, "recorded", "today", lineterm="", n=2)
            found += [f"step {number}, after {old.at:g} s ({inputs}):", *lines]
    return "\n".join(found)


def _lines(step: Step) -> list[str]:
    lines = []
    for each in step.decided:
        writes = [f"{w.kind} {w.side} {w.version.n} {','.join(w.lines) or w.action or ''}".strip() for w in each.writes]
        lines += [f"{each.input} {each.cause}: {each.outcome} link {each.link} under {each.config_version}"]
        lines += [f"    because {each.reason}"]
        lines += [f"    lines {', '.join(each.lines)}"] if each.lines else []
        lines += [f"    writes {write}" for write in writes]
    for sent in step.sent:
        content = msgspec.json.encode(msgspec.json.decode(sent.body), order="sorted")
        lines += [f"sent to {sent.app}: {sent.type}", *msgspec.json.format(content, indent=2).decode().splitlines()]
    return lines
