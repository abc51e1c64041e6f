"""`replay --preview`: where other rules would have led, from this installation's own history (G5)."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from services.cli.database import opened
from services.cli.failure import FAILED, MISUSED, Failure
from services.cli.files import checked_file, manifests
from services.cli.output import age, say, visible
from services.cli.planshow import value
from services.cli.working import working
from services.runtime.log.open import log_of
from services.runtime.settings import load
from services.sync.plan.known import Ground
from services.sync.plan.would import Kind as Sent
from services.sync.replay.audit import Filters
from services.sync.replay.forecast import forecast
from services.sync.replay.outlook import KINDS, Outlook, outlooks
from services.sync.replay.preview import Preview
from services.sync.replay.run import TOPICS


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a preview says."""

    upto: datetime | None
    """The last transaction of history; None: there is none."""
    observations: int
    echoes: int
    """Observations that showed nothing but our own writes: left out."""
    words: int
    """What people said by hand: left out."""
    lost: int
    """Observations of contacts that wouldn't have been made: left out."""
    differences: int
    """Where today's program decides otherwise than history; 0 if the comparison is sound."""
    would: dict[str, dict[Sent, int]]
    """Connection -> kind -> writes under the file."""
    happened: dict[str, dict[Sent, int]]
    """The same of the writes that were sent."""
    counts: dict[str, int]
    total: int
    page: int
    outlooks: tuple[Outlook, ...]


async def preview(file: Path, *, filters: Filters, as_json: bool, limit: int = 50, page: int = 1) -> int:
    """Print it; the exit status says whether history could be gone through."""
    if limit < 0 or page < 1:
        raise Failure("--limit is a number from 0 on, --page one from 1 on.", MISUSED)
    if filters.since is not None or filters.type is not None:
        raise Failure("A preview begins at the beginning and takes all inputs: leave --since and --type out.", MISUSED)
    checked = await checked_file(file, offline=True)
    if checked.config is None:
        return FAILED
    settings = load()
    async with opened(settings) as store, log_of(settings, store) as log:
        bounds = {place: span for topic in TOPICS for place, span in (await log.bounds(topic)).items()}
        with working("previewing") as went:
            made, under = await forecast(
                store,
                log.read,
                bounds,
                manifests(),
                checked.config.accounts,
                checked.config.connections,
                until=filters.until,
                went=lambda _: went("history", 1),
            )
    answer = _answer(made, filters, limit, page)
    if as_json:
        say(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
    else:
        _print(answer, str(file), under)
    return 0


def _answer(made: Preview, filters: Filters, limit: int, page: int) -> Answer:
    counts: Counter[str] = Counter()
    start, shown, total = (page - 1) * limit, [], 0
    for each in outlooks(made):
        if not _wanted(each, filters):
            continue
        counts[each.kind] += 1
        if start <= total < start + limit:
            shown.append(each)
        total += 1
    return Answer(
        upto=datetime.fromtimestamp(made.at / 1_000_000, UTC) if made.at else None,
        observations=made.observations,
        echoes=made.echoes,
        words=made.words,
        lost=made.lost,
        differences=made.audit.counts.total(),
        would=_by_connection(made.would),
        happened=_by_connection(made.happened),
        counts={kind: counts[kind] for kind in KINDS if counts[kind]},
        total=total,
        page=page,
        outlooks=tuple(shown),
    )


def _wanted(one: Outlook, filters: Filters) -> bool:
    wanted = (filters.connection, one.connection), (filters.account, one.account), (filters.contact, one.contact)
    return all(want is None or want == found for want, found in wanted)


def _by_connection(counts: Counter[tuple[str, Sent]]) -> dict[str, dict[Sent, int]]:
    return {
        name: {kind: count for (_, kind), count in sorted(group)}
        for name, group in itertools.groupby(sorted(counts.items()), key=lambda item: item[0][0])
    }


def _print(answer: Answer, name: str, under: Ground) -> None:
    if answer.upto is None:
        say("There is no history yet: nothing was taken in.")
        return
    now = datetime.fromtimestamp(under.now / 1_000_000, UTC)
    say(f"History up to {answer.upto:%Y-%m-%d %H:%M:%S} UTC, {age(now - answer.upto)} ago, under {name}:")
    say(
        f"{answer.observations} observations; left out: {answer.echoes} echoes of our own writes, {answer.words} words "
        f"of people, {answer.lost} observations of contacts that wouldn't have been made."
    )
    for connection in sorted({*answer.would, *answer.happened}):
        would, happened = answer.would.get(connection, {}), answer.happened.get(connection, {})
        kinds = [kind for kind in ("create", "update", "tag", "untag") if kind in would or kind in happened]
        told = ", ".join(f"{kind} {would.get(kind, 0)} (happened: {happened.get(kind, 0)})" for kind in kinds)
        say(f"{connection}: {told}")
    if answer.counts:
        say("Otherwise: " + ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in answer.counts.items()))
    else:
        say("Every contact would be as it is.")
    for each in answer.outlooks:
        for line in _lines(each):
            say(visible(line))
    if answer.differences:
        say(
            f"Today's program decides otherwise than history in {answer.differences} places: what happened is told as "
            "today's program would have done it. `contactsync replay --audit` tells where."
        )
    say("Nothing was written.")


def _lines(each: Outlook) -> list[str]:
    contact = f"{each.account}/{each.contact}" if each.contact is not None else f"in {each.account}"
    head = f"{each.kind.replace('_', ' ')} {contact}"
    head += f" ({each.who})" if each.who else ""
    head += f" [{each.connection}]" if each.connection else ""
    if each.tags:
        head += f": {', '.join(each.tags)}"
    if each.reason:
        head += f": {each.reason}"
    return [head, *(f"    {one.field}: is {value(one.before)}, would be {value(one.after)}" for one in each.changes)]
