"""The lane of an account's looks and finds, which also sees whether an account that was down is back."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from services.connectors import ledger, reads
from services.connectors.desk import Desk
from services.connectors.flights import Flights
from services.connectors.pacing import NEVER, pause_after, until
from services.connectors.publish import Outgoing, an_order, find_hit, found, look_answer
from services.connectors.reads import Read
from services.connectors.traced import finding, outcome_of
from services.contracts.app import Gone, Seen, Trouble, Verdict
from services.contracts.envelope import derived
from services.contracts.receipts import Absent, Found
from services.runtime import tracing

NOBODY = "nobody@contactsync.invalid"
"""An address that no contact has: asking for it shows whether an account answers (RFC 2606 keeps `.invalid` free)."""


class ReadLane:
    """Works off one account's looks and finds, as many at once as the app allows, also while connections are paused."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.flights: Flights[tuple[str, str]] = Flights(f"read-{desk.account}", desk.app.manifest.parallel)

    async def recover(self) -> None:
        """Ask again what was being asked when its step ended without recording an answer."""
        async with self._desk.transaction() as tx:
            await reads.abandoned(tx, self._desk.account)
        self.flights.clean = True

    async def step(self) -> float:
        """Do the next thing; return the seconds until there may be another, unless something new comes."""
        desk = self._desk
        if await self.flights.full():
            return 0.0
        if not self.flights.clean:
            await self.flights.land()
            await self.recover()
        await desk.refresh()
        now = desk.clock.now()
        if desk.removed:
            async with desk.transaction() as tx:
                await reads.drop(tx, desk.account)
            return NEVER
        probing = desk.health.may_probe(now)
        if not (probing or desk.health.may_ask(now)):
            return desk.health.changes_in(now)
        # It is woken far more often than there is something to ask: a glance is enough for that.
        moment = None if probing else await reads.next_due(desk.store, desk.account)
        if not probing and (moment is None or moment > now):
            await ledger.must_hold(desk.store, desk.account, desk.lease)
            return until(moment, now)
        if delay := desk.buckets.read.delay(desk.clock.monotonic()):
            return delay
        try:
            async with desk.transaction() as tx:
                read = await reads.claim(tx, desk.account, now)
                moment = await reads.next_due(tx, desk.account) if read is None else None
        except BaseException:
            self.flights.clean = False  # the claim may have been committed all the same
            raise
        if read is not None:
            await self.flights.begin(self._ask(read, now), (read.kind, read.subject))
            if probing:
                await self.flights.land()  # one at a time until it answers
            return 0.0
        if probing:
            await self._probe()
            return 0.0
        return until(moment, now)

    async def _probe(self) -> None:
        desk = self._desk
        if desk.access is None:  # until a moment ago there was one
            return
        desk.buckets.read.take(desk.clock.monotonic())
        answer, _ = await desk.call("find", desk.app.find(desk.access, NOBODY))
        await desk.heard(answer)

    async def _ask(self, read: Read, start: datetime) -> None:
        desk = self._desk
        access = desk.reach()
        desk.buckets.read.take(desk.clock.monotonic())
        answer: Seen | Gone | tuple[Seen, ...] | Trouble
        spans = finding(desk, read)
        with tracing.ending(spans):
            if read.kind == "look":
                answer, ms = await desk.call("look", desk.app.look(access, read.subject))
            else:
                answer, ms = await desk.call("find", desk.app.find(access, read.subject))
            for span in spans:
                span.tell(outcome="answered" if isinstance(answer, tuple) else outcome_of(answer))
        verdict = await desk.heard(answer)
        now = desk.clock.now()
        desk.log.info("read_asked", kind=read.kind, outcome=verdict.value if verdict else "answered", duration_ms=ms)
        if isinstance(answer, Trouble):
            if verdict is Verdict.GONE and read.kind == "look":
                answer = Gone(contact_id=read.subject, order=an_order(start, now))
            else:
                await self._later(read, answer, verdict, now)
                return
        async with desk.transaction() as tx:
            if await reads.answered(tx, read, now):
                await desk.say(tx, self._said(read, answer, now, [span.traceparent for span in spans]))

    async def _later(self, read: Read, trouble: Trouble, verdict: Verdict | None, now: datetime) -> None:
        """Reading does no harm: whatever the trouble, it is asked again, after a pause of its own or the account's."""
        counts = verdict not in (Verdict.THROTTLED, Verdict.REAUTHORISE)
        pause = pause_after(read.failures + 1, trouble.retry_after) if counts else 0.0
        if verdict is Verdict.REFUSE:
            self._desk.log.warning("read_refused", kind=read.kind, reason=str(trouble.key))
        async with self._desk.transaction() as tx:
            await reads.later(tx, read, now + timedelta(seconds=pause), failed=counts)

    def _said(
        self, read: Read, answer: Seen | Gone | tuple[Seen, ...], now: datetime, traces: Sequence[str | None]
    ) -> list[Outgoing]:
        account, app = self._desk.account, self._desk.app.manifest.name
        if not isinstance(answer, tuple):
            return [look_answer(account, answer, read.look, now=now, traceparent=next(iter(traces), None))]
        find = derived("find", account, read.subject, read.id, read.tries)
        hits = [find_hit(account, seen, find=find, now=now) for seen in answer]
        ids = tuple(seen.contact_id for seen in answer)
        for asker, trace in zip(read.askers, traces, strict=True):
            link, number = asker.key
            report: Found | Absent = (
                Found(link=link, account=account, address=read.subject, number=number, contact_ids=ids)
                if ids
                else Absent(link=link, account=account, address=read.subject, number=number)
            )
            hits.append(found(report, app=app, now=now, traceparent=trace))
        return hits
