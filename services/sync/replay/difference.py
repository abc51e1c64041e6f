"""A difference between what was decided and what would be: told without any contact's data."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import msgspec

from services.sync.core.issued import Issued
from services.sync.core.slice import ContactKey
from services.sync.journal import Journalled

Kind: TypeAlias = Literal[
    "missing", "new", "outcome", "writes", "lines", "config", "reason", "effect", "error", "state"
]
"""A decision that isn't taken any more, or wasn't; what differs in one that is; the same decision with other values;
an input that can't be taken in; what is known in the end."""
KINDS: tuple[Kind, ...] = (
    "missing",
    "new",
    "outcome",
    "writes",
    "lines",
    "config",
    "reason",
    "effect",
    "error",
    "state",
)


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A decision as the journal has it."""

    input: str
    cause: str
    link: str = ""
    connection: str = ""
    outcome: str
    reason: str
    lines: tuple[str, ...] = ()
    writes: tuple[Issued, ...] = ()
    config_version: int = 0
    contact: ContactKey | None = None
    """The contact that the input showed."""

    @property
    def about(self) -> tuple[str, str, str]:
        """What it is a decision about: of the same input for the same link."""
        return self.input, self.cause, self.link


def outcome_of(row: Journalled) -> Outcome:
    """Return a decision of now as the journal would have it."""
    seen = row.seen
    return Outcome(
        input=row.input,
        cause=row.cause,
        link=row.decision.link,
        connection=row.decision.connection,
        outcome=row.decision.outcome,
        reason=row.reason,
        lines=row.decision.lines,
        writes=row.decision.writes,
        config_version=row.decision.config_version,
        contact=None if seen is None else (seen.account, seen.contact),
    )


class Difference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One difference."""

    kind: Kind
    number: int
    """The transaction in whose place it is; 0: what is known in the end."""
    at: int
    """Microseconds since 1970."""
    input: str = ""
    cause: str = ""
    link: str = ""
    connection: str = ""
    contact: ContactKey | None = None
    was: str = ""
    now: str = ""

    def told(self) -> str:
        """Say it in one line."""
        when = datetime.fromtimestamp(self.at / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        names = [self.connection, self.link and f"link {self.link}", "/".join(self.contact or ())]
        who = " ".join(name for name in names if name)
        what = f"{self.input} {self.cause}".strip()
        return f"#{self.number} {when} {self.kind}: {who}; {what}; was: {self.was or '-'}; now: {self.now or '-'}"


def compared(number: int, at: int, was: Sequence[Outcome], now: Sequence[Outcome]) -> list[Difference]:
    """Return how today's decisions about a transaction's inputs differ from those that were taken."""
    if list(was) == list(now):
        return []
    found: list[Difference] = []
    left = list(now)
    for old in was:
        new = next((each for each in left if each.about == old.about), None)
        if new is None:
            found.append(_difference("missing", number, at, old, _said(old), ""))
            continue
        left.remove(new)
        kind = _kind(old, new)
        if kind is not None:
            found.append(_difference(kind, number, at, old, _told(kind, old), _told(kind, new)))
    found += [_difference("new", number, at, new, "", _said(new)) for new in left]
    return found


def _kind(old: Outcome, new: Outcome) -> Kind | None:
    if old.outcome != new.outcome:
        return "outcome"
    if old.writes != new.writes:
        return "writes"
    if old.lines != new.lines:
        return "lines"
    if old.config_version != new.config_version:
        return "config"
    return "reason" if old.reason != new.reason else None


def _told(kind: Kind, one: Outcome) -> str:
    match kind:
        case "writes":
            return ", ".join(_written(each) for each in one.writes)
        case "lines":
            return ", ".join(one.lines)
        case "config":
            return f"version {one.config_version}"
        case _:
            return _said(one)


def _written(write: Issued) -> str:
    what = ", ".join(write.lines) or write.action or ""
    return f"{write.kind} {write.side} {write.version.incarnation}.{write.version.n} {what}".strip()


def _said(one: Outcome) -> str:
    return f"{one.outcome} {','.join(one.lines)} ({one.reason})".replace("  ", " ")


def _difference(kind: Kind, number: int, at: int, about: Outcome, was: str, now: str) -> Difference:
    return Difference(
        kind=kind,
        number=number,
        at=at,
        input=about.input,
        cause=about.cause,
        link=about.link,
        connection=about.connection,
        contact=about.contact,
        was=was,
        now=now,
    )
