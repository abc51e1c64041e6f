"""Writes that go into one request, where the app takes several: which ones, and what their answers mean.

Together go those that are sent for the first time, as they were decided, with nothing to ask before, as far as they are
there: nothing waits for company. Whatever is repeated or asked about goes by itself.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

import msgspec

from services.connectors import entry as entries
from services.connectors import ledger
from services.connectors.desk import Desk
from services.connectors.entry import Entry
from services.connectors.judge import Judge
from services.connectors.publish import microseconds
from services.connectors.traced import outcome_of, sending
from services.contracts.app import Ability, Trouble
from services.contracts.commands import Create
from services.contracts.receipts import DeferralReason, Refused, Stale, Unchanged, Written
from services.runtime import tracing
from services.runtime.app import Attempt, Batches
from services.runtime.store import Connection

FRESH = 10.0
"""Seconds for which the answer that an address is free counts: creates decided earlier are checked first."""


def attempt_of(entry: Entry, sent: int) -> Attempt:
    """What the app is told of a write that was sent so often before."""
    first = entry.sent_at if sent else None
    return Attempt(key=entry.key, n=sent, first=None if first is None else microseconds(first))


async def refusal(tx: Connection, entry: Entry) -> DeferralReason | None:
    """Why the command may not be sent now (P11); None if it may."""
    permit = await ledger.permit(tx, entry.aim.connection)
    if permit is None or entry.aim.config_version < permit.version:
        return "config"
    return "paused" if permit.paused else None


class Group:
    """One account's requests with several writes in them."""

    def __init__(self, desk: Desk, judge: Judge) -> None:
        self._desk = desk
        self._judge = judge

    async def claim(
        self, tx: Connection, first: Entry, busy: Collection[ledger.Place], now: datetime
    ) -> tuple[Entry, ...]:
        """Claim what goes into one request with the first one, which has to be among the `busy`."""
        desk = self._desk
        most = desk.app.manifest.batch if isinstance(desk.app, Batches) else 1
        bucket = desk.buckets.batch
        if most == 1 or not self._is_plain(first, now) or (bucket and bucket.delay(desk.clock.monotonic())):
            return ()
        claimed: list[Entry] = []
        for entry in await ledger.due(tx, desk.account, ("pending",), now, most - 1, but=busy):
            if not self._is_plain(entry, now) or await refusal(tx, entry) is not None:
                continue
            after = entries.sending(entry, now)
            await ledger.save(tx, entry, after)
            claimed.append(after)
        return tuple(claimed)

    def _is_plain(self, entry: Entry, now: datetime) -> bool:
        if entry.state != "pending" or entry.attempt or entry.frozen is not None or entry.made is not None:
            return False
        checked = Ability.FIND_SEES_MORE in self._desk.app.manifest.abilities
        waited = (now - entry.task.decided_at).total_seconds()
        return not (isinstance(entry.task.command, Create) and checked and waited > FRESH)

    async def send(self, found: Sequence[Entry]) -> None:
        """Send what was claimed in one request, once, and record the answers."""
        desk = self._desk
        if not isinstance(desk.app, Batches):
            raise TypeError("several are claimed only where the app takes them")
        access = desk.reach()
        writes = [(entry.task.command, attempt_of(entry, 0)) for entry in found]
        begun = desk.clock.now()
        for bucket in filter(None, (desk.buckets.write, desk.buckets.batch)):
            bucket.take(desk.clock.monotonic())
        each: Sequence[Written | Unchanged | Refused | Stale | Trouble]
        spans = [sending(desk, entry) for entry in found]
        with tracing.ending(spans):
            answers, ms = await desk.call("write", desk.app.write_all(access, writes))
            each = [answers] * len(found) if isinstance(answers, Trouble) else answers
            for span, answer in zip(spans, each, strict=True):
                span.tell(outcome=outcome_of(answer))
        whole = isinstance(answers, Trouble)
        for n, (entry, (command, attempt), answer) in enumerate(zip(found, writes, each, strict=True)):
            desk.log.info(
                "write_sent",
                link=entry.link,
                side=entry.side,
                command=entry.task.type,
                attempt=entry.attempt,
                outcome=outcome_of(answer),
                duration_ms=ms,
                seconds=round((begun - entry.task.decided_at).total_seconds(), 3),
                together=len(found),
            )
            told = answer
            if isinstance(answer, Written):
                told = msgspec.structs.replace(answer, label=answer.label or attempt.key, ms=answer.ms or ms)
            await self._judge.follow(entry, command, attempt, told, counted=whole and n > 0)
