"""The lane of an account's writes: those in doubt first, then the oldest, as many at once as the app allows.

A step begins one thing and returns how many seconds it may rest: 0 if there may be more at once. What is in doubt is
repeated under its key while the app says that is safe and writes are permitted; otherwise, and where repeating has
settled nothing, the app is asked what became of it. While a connection is paused or its config has changed, doubts are
only asked about, never repeated: a repetition may write.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from services.connectors import entry as entries
from services.connectors import ledger
from services.connectors.desk import Desk
from services.connectors.entry import Entry
from services.connectors.flights import Flights
from services.connectors.group import FRESH, Group, attempt_of, refusal
from services.connectors.health import still_away
from services.connectors.judge import Judge
from services.connectors.pacing import NEVER, until
from services.connectors.publish import microseconds
from services.connectors.traced import asking, outcome_of, sending
from services.contracts.app import Ability, Trouble
from services.contracts.commands import Create, Write
from services.contracts.receipts import DeferralReason, Deferred, Unknown, Written

OPEN = ("pending", "unknown")
TELL_AFTER = timedelta(minutes=1)
_TELL_EVERY = 10.0
_AT_ONCE = 100


class WriteLane:
    """Works off one account's writes."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._judge = Judge(desk)
        self._group = Group(desk, self._judge)
        self._told = -NEVER
        self.flights: Flights[ledger.Place] = Flights(f"write-{desk.account}", desk.app.manifest.parallel)

    async def recover(self) -> None:
        """Put in doubt what was being sent when its step ended without recording an answer."""
        desk = self._desk
        async with desk.transaction() as tx:
            reason = "contactsync was interrupted before it could record the answer"
            await ledger.abandoned(tx, desk.account, desk.clock.now(), reason)
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
        await self._tell()
        now = desk.clock.now()
        if desk.removed:
            return 0.0 if await self._dismiss(("pending", "unknown"), "config", now) else NEVER
        if not desk.health.may_ask(now):
            if desk.health.away_since(now) is not None and await self._dismiss(("pending",), "account", now):
                return 0.0
            return desk.health.changes_in(now)
        if delay := await self._due(now) or desk.buckets.write.delay(desk.clock.monotonic()):
            return delay
        try:
            claimed = await self._claim(now)
        except BaseException:
            self.flights.clean = False  # the claim may have been committed all the same
            raise
        if isinstance(claimed, float):
            return claimed
        found, send = claimed
        if not send and (delay := desk.buckets.read.delay(desk.clock.monotonic())):
            return delay
        await self.flights.begin(self._answered(found, send=send), *((entry.link, entry.side) for entry in found))
        return 0.0

    async def _answered(self, found: Sequence[Entry], *, send: bool) -> None:
        """Send or ask, and record the answers."""
        if not send:
            await self._prove(found[0])
        elif len(found) == 1:
            await self._send(found[0])
        else:
            await self._group.send(found)

    async def _claim(self, now: datetime) -> tuple[Sequence[Entry], bool] | float:
        """What is next, and whether to send it or to ask about it; or seconds to rest. Deferrals happen here.

        Several entries go into one request.
        """
        desk = self._desk
        async with desk.transaction() as tx:
            busy = self.flights.held
            found = await ledger.due(tx, desk.account, OPEN, now, but=busy)
            if not found:
                moment = await ledger.next_due(tx, desk.account, OPEN, but=busy)
                return until(moment, now)
            entry = found[0]
            refused = await refusal(tx, entry)
            if entry.state == "pending" and refused is not None:
                await self._judge.settle(tx, entry, Deferred(reason=refused, attempted=entry.attempted))
                return 0.0
            if entry.state == "pending" and entry.proving:
                doubt = entries.doubtful(entry, now, now, "an earlier create of this link isn't proved yet")
                await ledger.save(tx, entry, doubt)
                entry = doubt
            if entry.state == "unknown":
                if refused is not None or not self._repeatable(entry, now):
                    return (entry,), False
                after = entries.repeating(entry)
            elif entries.effective(entry, desk.app.manifest) is None and entry.made is not None:
                await self._judge.settle(
                    tx, entry, Written(contact_id=entry.made.contact_id, seen=entry.made, looked=True)
                )
                return 0.0
            else:
                after = entries.sending(entry, now)
            await ledger.save(tx, entry, after)
            return (after, *await self._group.claim(tx, entry, [*busy, (entry.link, entry.side)], now)), True

    async def _due(self, now: datetime) -> float:
        """Seconds until something is due: it is woken far more often than that, and a glance is enough to see it."""
        desk = self._desk
        moment = await ledger.next_due(desk.store, desk.account, OPEN, but=self.flights.held)
        if moment is not None and moment <= now:
            return 0.0
        await ledger.must_hold(desk.store, desk.account, desk.lease)
        return until(moment, now)

    def _repeatable(self, entry: Entry, now: datetime) -> bool:
        manifest = self._desk.app.manifest
        return (
            Ability.IDEMPOTENCY_KEY in manifest.abilities
            and not entry.inquire
            and entry.sent_at is not None
            and (now - entry.sent_at).total_seconds() < manifest.key_lifetime
        )

    async def _send(self, entry: Entry) -> None:
        """Send what was claimed, once."""
        desk = self._desk
        command = entries.effective(entry, desk.app.manifest)
        if command is None:
            raise AssertionError("a claimed entry has something to send")
        access = desk.reach()
        waited = (desk.clock.now() - entry.task.decided_at).total_seconds()
        if waited > FRESH and await self._is_called_off(entry, command):
            return
        desk.buckets.write.take(desk.clock.monotonic())
        attempt = attempt_of(entry, entry.attempt - 1)
        with sending(desk, entry) as sent:
            answer, ms = await desk.call("write", desk.app.write(access, command, attempt))
            sent.tell(outcome=outcome_of(answer))
            desk.log.info(
                "write_sent",
                link=entry.link,
                side=entry.side,
                command=entry.task.type,
                attempt=entry.attempt,
                outcome=outcome_of(answer),
                duration_ms=ms,
                seconds=round(waited, 3),  # from the decision to the request
            )
        if isinstance(answer, Written):
            answer = msgspec.structs.replace(answer, label=answer.label or attempt.key, ms=answer.ms or ms)
        await self._judge.follow(entry, command, attempt, answer)

    async def _is_called_off(self, entry: Entry, command: Write) -> bool:
        """Ask anew whether the account has a contact with a create's addresses: one may have come since it was decided.

        True: it isn't sent, or not now.
        """
        desk = self._desk
        sees_more = Ability.FIND_SEES_MORE in desk.app.manifest.abilities
        if not isinstance(command, Create) or entry.state != "inflight" or entry.made is not None or not sees_more:
            return False
        for address in command.addresses:
            desk.buckets.read.take(desk.clock.monotonic())
            answer, ms = await desk.call("find", desk.app.find(desk.reach(), address))
            desk.log.info(
                "create_checked", link=entry.link, side=entry.side, outcome=outcome_of(answer), duration_ms=ms
            )
            if isinstance(answer, Trouble):
                await self._judge.unchecked(entry, answer)
                return True
            await desk.heard(answer)
            if answer:
                await self._judge.call_off(entry, "taken")
                return True
        return False

    async def _prove(self, entry: Entry) -> None:
        """Ask the app what became of a write in doubt."""
        desk = self._desk
        command = entries.effective(entry, desk.app.manifest)
        if command is None:
            raise AssertionError("an entry in doubt has something that was sent")
        access = desk.reach()
        desk.buckets.read.take(desk.clock.monotonic())
        attempt = attempt_of(entry, max(1, entry.attempt))
        with asking(desk, entry) as asked:
            answer, ms = await desk.call("settle", desk.app.settle(access, command, attempt))
            word = outcome_of(answer)
            asked.tell(outcome=word)
            desk.log.info("write_asked_about", link=entry.link, side=entry.side, outcome=word, duration_ms=ms)
        if isinstance(answer, Written):
            answer = msgspec.structs.replace(answer, label=answer.label or attempt.key, looked=True)
        await self._judge.follow(entry, command, attempt, answer, asked=True)

    async def _dismiss(self, states: tuple[str, ...], reason: DeferralReason, now: datetime) -> int:
        """Answer what can't be sent; return how many that were."""
        desk = self._desk
        async with desk.transaction() as tx:
            # Said after the notice that the account is back, nobody would wake the link.
            if reason == "account" and not await still_away(tx, desk.account, now):
                return 0
            found = await ledger.due(tx, desk.account, states, datetime.max.replace(tzinfo=now.tzinfo), _AT_ONCE)
            for entry in found:
                await self._judge.settle(tx, entry, Deferred(reason=reason, attempted=entry.attempted))
        return len(found)

    async def _tell(self) -> None:
        """Say of what has been in doubt for a minute that it is, once."""
        desk = self._desk
        if (mono := desk.clock.monotonic()) - self._told < _TELL_EVERY:
            return
        self._told = mono
        now = desk.clock.now()
        async with desk.transaction() as tx:
            for entry in await ledger.untold(tx, desk.account, now - TELL_AFTER):
                if entry.unknown_since is None:
                    continue
                await ledger.save(tx, entry, msgspec.structs.replace(entry, told_unknown=True))
                unknown = Unknown(reason=entry.unknown_reason or "", since=microseconds(entry.unknown_since))
                await self._judge.report(tx, entry, ((entry.aim, unknown),))
