"""What an answer means for a write, and the recording of it: the entry's next state, and receipts."""

from datetime import timedelta
from typing import TypeAlias, assert_never

import msgspec

from services.connectors import entry as entries
from services.connectors import ledger
from services.connectors.desk import Desk
from services.connectors.entry import Entry
from services.connectors.pacing import pause_after
from services.connectors.publish import an_order, written
from services.connectors.traced import settling
from services.connectors.verdicts import UNANSWERED, verdict_on
from services.contracts.app import Gone, Seen, Trouble, Verdict
from services.contracts.commands import Create, Update, Write
from services.contracts.receipts import (
    DeferralReason,
    Deferred,
    Observation,
    Outcome,
    Refused,
    Stale,
    Unchanged,
    Written,
)
from services.runtime.app import Absence, Attempt, Undecided
from services.runtime.store import Connection

Answer: TypeAlias = Written | Unchanged | Refused | Stale | Absence | Undecided | Trouble


class Judge:
    """Follows answers about one account's writes."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def follow(
        self,
        entry: Entry,
        command: Write,
        attempt: Attempt,
        answer: Answer,
        *,
        asked: bool = False,
        again: bool = True,
        counted: bool = False,
    ) -> None:
        """Follow what an answer means for the entry.

        `asked`: it answers a question about the write, not the write. `again`: a lost guard may be tried once more.
        `counted`: it answers a request of several writes, whose trouble already counts for the account's health.
        """
        if counted and isinstance(answer, Trouble):
            verdict: Verdict | None = verdict_on(answer, self._desk.app.manifest)
        else:
            verdict = await self._desk.heard(answer)
        now = self._desk.clock.now()
        match answer:
            case Written():
                await self._written(entry, answer)
            case Unchanged(contact_id=contact, seen=seen):
                made = entry.made
                await self._finish(
                    entry,
                    answer if made is None else Written(contact_id=contact, seen=seen or made, looked=True),
                )
            case Refused(reason=reason, gone=False) if entry.state == "unknown":
                # The repetition was refused (credentials lose rights, too); the first sending may have been executed.
                await self._change(entry, lambda e: entries.doubtful(e, now, now, reason, inquire=True))
            case Refused():
                await self._refused(entry, answer)
            case Stale():
                await self._finish(entry, answer)
            case Absence():
                await self._change(entry, lambda present: entries.absent(present, now))
            case Undecided(reason=reason, after=after):
                later = now + timedelta(seconds=max(after, 0.1))
                await self._change(entry, lambda present: entries.undecided(present, later, reason))
            case Trouble() if asked:
                await self._unasked(entry, command, answer, verdict or Verdict.UNKNOWN)
            case Trouble():
                await self._trouble(entry, command, attempt, answer, verdict or Verdict.UNKNOWN, again=again)
            case _:
                assert_never(answer)

    async def unchecked(self, entry: Entry, trouble: Trouble) -> None:
        """What had to be asked before sending wasn't answered: nothing was sent, it is tried again."""
        verdict = await self._desk.heard(trouble)
        counts = verdict not in (Verdict.THROTTLED, Verdict.REAUTHORISE)
        pause = pause_after(entry.failures + 1, trouble.retry_after) if counts else 0.0
        later = self._desk.clock.now() + timedelta(seconds=pause)
        await self._change(entry, lambda e: entries.postponed(e, later, failed=counts))

    async def call_off(self, entry: Entry, reason: DeferralReason) -> None:
        """Answer that the command wasn't sent, for this reason."""
        async with self._desk.transaction() as tx:
            try:
                present = await ledger.again(tx, entry)
            except ledger.MovedError:
                return
            unsent = entries.postponed(present, self._desk.clock.now(), failed=False)
            await ledger.save(tx, present, unsent)
            await self.settle(tx, unsent, Deferred(reason=reason, attempted=unsent.attempted))

    async def _unasked(self, entry: Entry, command: Write, trouble: Trouble, verdict: Verdict) -> None:
        """The question failed. Whatever is wrong with it proves nothing about the write: it is asked again."""
        now = self._desk.clock.now()
        if verdict is Verdict.GONE and not isinstance(command, Create):
            await self._refused(entry, Refused(reason=trouble.detail, code=str(trouble.key), gone=True))
        elif verdict in (Verdict.THROTTLED, Verdict.REAUTHORISE):
            await self._change(entry, lambda e: entries.undecided(e, now, trouble.detail))
        else:
            later = now + timedelta(seconds=pause_after(entry.failures + 1, trouble.retry_after))
            await self._change(entry, lambda e: entries.doubtful(e, now, later, trouble.detail))

    async def _trouble(
        self,
        entry: Entry,
        command: Write,
        attempt: Attempt,
        trouble: Trouble,
        verdict: Verdict,
        *,
        again: bool,
    ) -> None:
        now = self._desk.clock.now()
        doubt = entry.state == "unknown"
        pause = pause_after(entry.failures + 1, trouble.retry_after)
        later = now + timedelta(seconds=pause)
        match verdict:
            case Verdict.THROTTLED | Verdict.REAUTHORISE:  # the whole account waits; the write's own tries don't count
                if doubt:
                    await self._change(entry, lambda e: entries.undecided(e, now, trouble.detail))
                else:
                    await self._change(entry, lambda e: entries.postponed(e, now, failed=False))
            case Verdict.RETRY if not doubt:
                await self._change(entry, lambda e: entries.postponed(e, later, failed=True))
            case Verdict.RETRY | Verdict.UNKNOWN:
                # A repetition that was answered, and still says nothing, will go on saying nothing.
                inquire = doubt and verdict is Verdict.UNKNOWN and trouble.key != UNANSWERED
                await self._change(entry, lambda e: entries.doubtful(e, now, later, trouble.detail, inquire=inquire))
            case Verdict.STALE if doubt or isinstance(command, Create):
                await self._change(entry, lambda e: entries.doubtful(e, now, now, trouble.detail, inquire=True))
            case Verdict.REFUSE | Verdict.GONE if doubt and (verdict is Verdict.REFUSE or isinstance(command, Create)):
                # Only this repetition was refused: it proves nothing about what was sent before.
                await self._change(entry, lambda e: entries.doubtful(e, now, now, trouble.detail, inquire=True))
            case Verdict.REFUSE:
                fields = (trouble.field,) if trouble.field else ()
                await self._refused(entry, Refused(reason=trouble.detail, code=str(trouble.key), fields=fields))
            case Verdict.GONE:
                gone = not isinstance(command, Create)
                await self._refused(entry, Refused(reason=trouble.detail, code=str(trouble.key), gone=gone))
            case Verdict.STALE:
                await self._stale(entry, command, attempt, again=again)
            case _:
                assert_never(verdict)

    async def _stale(self, entry: Entry, command: Write, attempt: Attempt, *, again: bool) -> None:
        """The guard no longer holds (P14): one read; as expected, once more under the new guard; else `Stale`."""
        desk = self._desk
        if isinstance(command, Create):
            raise TypeError("only what exists has a guard")
        seen = await self._look(command.contact_id)
        now = desk.clock.now()
        match seen:
            case Trouble():
                # The write wasn't executed, and why isn't known: the same write, and the same look, come again.
                later = now + timedelta(seconds=pause_after(entry.failures + 1, seen.retry_after))
                await self._change(entry, lambda e: entries.postponed(e, later, failed=True))
            case Gone():
                await self._refused(entry, Refused(reason="The contact isn't there any more.", code="gone", gone=True))
            case Seen():
                fits = not isinstance(command, Update) or all(
                    seen.contact.fields.get(path, ()) == command.expected.get(path, ()) for path in command.fields
                )
                if not (again and fits):
                    await self._finish(entry, Stale(seen=_observation(seen)))
                    return
                command = msgspec.structs.replace(command, guard=seen.contact.guard, object=seen.object)
                desk.buckets.write.take(desk.clock.monotonic())
                answer, _ = await desk.call("write", desk.app.write(desk.reach(), command, attempt))
                await self.follow(entry, command, attempt, answer, again=False)

    async def _written(self, entry: Entry, answer: Written) -> None:
        if entry.made is not None:
            outcome = msgspec.structs.replace(answer, seen=answer.seen or entry.made, looked=True)
            await self._finish(entry, outcome)
            return
        if not entry.proving or entries.same_body(entry):
            await self._finish(entry, answer)
            return
        seen = None if answer.replayed else answer.seen
        if seen is None:
            match await self._look(answer.contact_id):
                case Seen() as read:
                    seen = _observation(read)
                case Gone():
                    refused = Refused(reason="The contact that was made isn't there any more.", gone=True)
                    await self._finish(entry, refused, nothing_made=True)
                    return
                case Trouble(detail=detail):
                    now = self._desk.clock.now()
                    later = now + timedelta(seconds=pause_after(entry.failures + 1))
                    await self._change(entry, lambda e: entries.doubtful(e, now, later, detail))
                    return
        found, now = seen, self._desk.clock.now()
        await self._change(entry, lambda e: entries.made(e, found, now))

    async def _refused(self, entry: Entry, answer: Refused) -> None:
        if entry.made is not None and not answer.gone:
            # The contact is there, without what was refused: sync sees it, and decides about the rest.
            await self._finish(entry, Stale(seen=entry.made))
        else:
            await self._finish(entry, answer, nothing_made=True)

    async def _look(self, contact_id: str) -> Seen | Gone | Trouble:
        desk = self._desk
        if desk.access is None:
            return Trouble(key=UNANSWERED, detail="The account was removed.")
        desk.buckets.read.take(desk.clock.monotonic())
        answer, _ = await desk.call("look", desk.app.look(desk.access, contact_id))
        if await desk.heard(answer) is Verdict.GONE:
            now = desk.clock.now()
            return Gone(contact_id=contact_id, order=an_order(now, now))
        return answer

    async def _change(self, entry: Entry, change: entries.Change) -> None:
        """Change the entry, if it still is as it was when its call was made."""
        async with self._desk.transaction() as tx:
            try:
                present = await ledger.again(tx, entry)
            except ledger.MovedError:
                self._desk.log.info("answer_came_late", link=entry.link, side=entry.side)
                return
            await ledger.save(tx, present, change(present))

    async def _finish(self, entry: Entry, outcome: Outcome, *, nothing_made: bool = False) -> None:
        """Settle the entry, if it still is as it was when its call was made."""
        async with self._desk.transaction() as tx:
            try:
                present = await ledger.again(tx, entry)
            except ledger.MovedError:
                self._desk.log.info("answer_came_late", link=entry.link, side=entry.side)
                return
            await self.settle(tx, present, outcome, nothing_made=nothing_made)

    async def settle(self, tx: Connection, entry: Entry, outcome: Outcome, *, nothing_made: bool = False) -> None:
        """Settle a locked entry: its receipt is stored and to be published, what waits takes its place."""
        now = self._desk.clock.now()
        after, reports = entries.settle(entry, outcome, now, nothing_made=nothing_made)
        with settling(self._desk, entry, outcome) as settled:
            await ledger.save(tx, entry, after)
            await self.report(tx, entry, reports, settled.traceparent)

    async def report(
        self, tx: Connection, entry: Entry, reports: entries.Reports, traceparent: str | None = None
    ) -> None:
        """Let receipts be published. `traceparent`: the step of the trace that they follow on."""
        desk = self._desk
        now = desk.clock.now()
        trace = traceparent or entry.task.traceparent
        said = [
            written(aim, outcome, app=desk.app.manifest.name, now=now, traceparent=trace) for aim, outcome in reports
        ]
        await desk.say(tx, said)
        for _, outcome in reports:
            name = type(outcome).__name__.lower()
            desk.metrics.receipts.labels(app=desk.app.manifest.name, outcome=name).inc()


def _observation(seen: Seen) -> Observation:
    return Observation(contact_id=seen.contact_id, order=seen.order, contact=seen.contact, object=seen.object)
