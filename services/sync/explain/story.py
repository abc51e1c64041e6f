"""A link's story from the journal: which inputs came, what was decided about them, what was sent and answered."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby

import msgspec

from services.contracts.commands import Version
from services.contracts.contact import Side
from services.runtime.store import Connection as Database
from services.sync.core.issued import Issued
from services.sync.core.mapping import Config
from services.sync.explain.detail import BACK, DELETED, SUBSCRIPTIONS, TAGS, Detail
from services.sync.explain.report import DecisionTold, Entry, Written

MOST = 5000
"""Journal rows of a link that are read at most, the newest."""
_ROWS = """
SELECT number, at, link::text, input, cause, topic, partition, position, config_version, outcome, reason, detail
  FROM sync.journal WHERE link = ANY($1::uuid[]) ORDER BY number DESC LIMIT $2
"""
_WORDS = {TAGS: "tags", DELETED: "deleted", BACK: "there again", SUBSCRIPTIONS: "subscriptions"}
_ANSWERS = {
    "written": "it is in the app",
    "unchanged": "the app had that already",
    "refused": "refused",
    "deferred": "put off before it was sent",
    "stale": "not written, as the contact had changed meanwhile",
    "unknown": "nobody knows yet whether it was done",
}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the journal."""

    number: int
    at: datetime
    link: str
    input: str
    cause: str
    place: tuple[str | None, int | None, int | None]
    config_version: int | None
    outcome: str
    reason: str
    detail: Detail


async def rows(database: Database, links: Iterable[str]) -> tuple[list[Row], bool]:
    """Return the journal's rows of these links, oldest first, and whether there are even earlier ones."""
    found = await database.fetch(_ROWS, list(links), MOST + 1)
    told = [
        Row(
            number=row["number"],
            at=row["at"],
            link=row["link"],
            input=row["input"],
            cause=row["cause"],
            place=(row["topic"], row["partition"], row["position"]),
            config_version=row["config_version"],
            outcome=row["outcome"],
            reason=row["reason"],
            detail=Detail() if row["detail"] is None else msgspec.json.decode(row["detail"], type=Detail),
        )
        for row in found[:MOST]
    ]
    return told[::-1], len(found) > MOST


def version_told(version: Version) -> str:
    """Return a write's version as it is written: the incarnation, then the number."""
    return f"{version.incarnation}.{version.n}"


def entries(config: Config, told: Sequence[Row]) -> list[Entry]:
    """Return the story: each input with what was decided about it, oldest first."""
    answers: dict[tuple[str, Side, Version], Row] = {}
    labels: dict[str, Row] = {}
    for row in told:
        answered, seen = row.detail.answered, row.detail.seen
        if answered is not None:
            answers[row.link, answered.side, answered.version] = row
            if seen is not None and seen.label is not None:
                labels[seen.label] = row
    story = []
    for _, group in groupby(told, key=lambda row: (row.input, row.cause, row.place, row.at)):
        together = list(group)
        first = together[0]
        seen = first.detail.seen
        story.append(
            Entry(
                at=first.at,
                input=first.input,
                cause=first.cause,
                told=_told(config, first, labels),
                account=None if seen is None else seen.account,
                contact=None if seen is None else seen.contact,
                via=None if seen is None else seen.origin,
                changed=() if seen is None else tuple(_WORDS.get(each, each) for each in seen.changed),
                decisions=tuple(_decision(config, row, answers) for row in together),
            )
        )
    return story


def _decision(config: Config, row: Row, answers: dict[tuple[str, Side, Version], Row]) -> DecisionTold:
    return DecisionTold(
        number=row.number,
        outcome=row.outcome,
        reason=row.reason,
        lines=row.detail.lines,
        config_version=row.config_version,
        writes=tuple(
            _written(config, each, answers.get((row.link, each.side, each.version))) for each in row.detail.writes
        ),
    )


def _written(config: Config, write: Issued, answer: Row | None) -> Written:
    answered = None if answer is None else answer.detail.answered
    return Written(
        account=config.account(write.side),
        side=write.side,
        version=version_told(write.version),
        kind=write.kind,
        lines=write.lines,
        action=write.action,
        answer=None if answered is None else answered.outcome,
        answered=None if answer is None else answer.at,
    )


def _told(config: Config, row: Row, labels: dict[str, Row]) -> str:
    """Return the input as a sentence."""
    seen, answered = row.detail.seen, row.detail.answered
    if answered is not None:
        looked = ", as reading the contact showed" if answered.looked else ""
        account = config.account(answered.side)
        return f"{account} answered write {version_told(answered.version)}: {_ANSWERS[answered.outcome]}{looked}"
    who = "the contact" if seen is None else f"{seen.contact} of {seen.account}"
    via = f" ({seen.origin})" if seen is not None and seen.origin is not None else ""
    match row.input:
        case "contact.changed":
            changed = [] if seen is None else [_WORDS.get(each, each) for each in seen.changed]
            what = f": {', '.join(changed)}" if changed else ", as it was known"
            return f"{who} was seen{via}{what}{_caused(row, labels)}"
        case "contact.deleted":
            return f"{who} is gone{via}"
        case "contact.touched":
            return f"something happened to {who}{via}: it is looked at"
        case "contact.merged":
            return f"{who} was merged into another contact{via}"
        case "subscription.changed":
            return f"a subscription of {who} changed{via}"
        case "receipt.found" | "receipt.absent":
            return "the other account was asked for its address"
        case "reconsider":
            return "its time had come, or something it waited for"
        case "sighted":
            return f"{who} was considered for this connection"
        case "restored":
            return "the database was restored from a copy"
        case "person":
            return f"a person said so ({row.cause})"
        case _:
            return row.input or "something"


def _caused(row: Row, labels: dict[str, Row]) -> str:
    label = None if row.detail.seen is None else row.detail.seen.label
    ours = None if label is None else labels.get(label)
    if ours is None or ours.detail.answered is None:
        return ""
    return f"; caused by our write {version_told(ours.detail.answered.version)}"
