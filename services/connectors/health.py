"""Whether an account can be asked now: its quota, its circuit breaker, its credentials."""

from datetime import datetime, timedelta

import msgspec

from services.connectors.pacing import pause_after
from services.runtime.store import Connection

FAILURES_TO_OPEN = 5
LONGEST_PROBE_PAUSE = 30.0
COUNTS_AS_PAUSED = timedelta(seconds=60)
"""PROTOCOL P11: a breaker open this long answers the account's writes instead of keeping them."""

_LOAD = "SELECT * FROM connectors.account WHERE account = $1"
_SHARED = f"{_LOAD} FOR SHARE"
_SAVE = """
INSERT INTO connectors.account
    (account, paused_until, breaker_open_since, probe_at, probes, revoked_at, revoked_credentials, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (account) DO UPDATE SET
    paused_until = excluded.paused_until, breaker_open_since = excluded.breaker_open_since,
    probe_at = excluded.probe_at, probes = excluded.probes, revoked_at = excluded.revoked_at,
    revoked_credentials = excluded.revoked_credentials, reason = excluded.reason
"""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """An account's health. Columns of the same names: migration 0005."""

    account: str
    paused_until: datetime | None = None
    breaker_open_since: datetime | None = None
    probe_at: datetime | None = None
    probes: int = 0
    revoked_at: datetime | None = None
    revoked_credentials: datetime | None = None
    reason: str | None = None
    streak: int = 0
    """Failures in a row; not stored, a new process counts for itself."""

    def throttled(self, now: datetime) -> bool:
        """Whether its quota is used up."""
        return self.paused_until is not None and now < self.paused_until

    def may_ask(self, now: datetime) -> bool:
        """Whether anything may be sent to it."""
        return self.revoked_at is None and self.breaker_open_since is None and not self.throttled(now)

    def may_probe(self, now: datetime) -> bool:
        """Whether an open breaker lets one read through, to see."""
        return (
            self.revoked_at is None
            and self.breaker_open_since is not None
            and (self.probe_at is None or now >= self.probe_at)
            and not self.throttled(now)
        )

    def away_since(self, now: datetime) -> datetime | None:
        """Since when it counts as paused; None if it doesn't."""
        if self.revoked_at is not None:
            return self.revoked_at
        since = self.breaker_open_since
        return since if since is not None and now - since >= COUNTS_AS_PAUSED else None

    def changes_in(self, now: datetime) -> float:
        """Seconds until time alone may change what is allowed; infinite if it never does."""
        if self.revoked_at is not None:
            return float("inf")
        moments = [self.paused_until, self.probe_at]
        if self.breaker_open_since is not None:
            moments.append(self.breaker_open_since + COUNTS_AS_PAUSED)
        waits = [(moment - now).total_seconds() for moment in moments if moment is not None and moment > now]
        return min(waits, default=float("inf"))


def succeeded(health: Health) -> Health:
    """It answered: whatever was counted is over."""
    return msgspec.structs.replace(
        health,
        streak=0,
        breaker_open_since=None,
        probe_at=None,
        probes=0,
        reason=health.reason if health.revoked_at is not None else None,
    )


def failed(health: Health, now: datetime, reason: str) -> Health:
    """It didn't answer, failed, or was asked too much. Enough of that in a row opens the breaker."""
    health = msgspec.structs.replace(health, streak=health.streak + 1)
    if health.breaker_open_since is None and health.streak < FAILURES_TO_OPEN:
        return health
    probes = health.probes + 1
    pause = min(LONGEST_PROBE_PAUSE, pause_after(probes))
    return msgspec.structs.replace(
        health,
        breaker_open_since=health.breaker_open_since or now,
        probe_at=now + timedelta(seconds=pause),
        probes=probes,
        reason=reason,
    )


def throttle(health: Health, now: datetime, retry_after: float | None) -> Health:
    """Its quota is used up: nothing is sent for as long as it asked, or for a growing pause."""
    pause = retry_after or pause_after(health.streak + 1)
    until = now + timedelta(seconds=pause)
    return msgspec.structs.replace(health, paused_until=max(until, health.paused_until or until))


def revoked(health: Health, now: datetime, credentials: datetime | None, reason: str) -> Health:
    """Its credentials (as they were last changed at `credentials`) no longer work."""
    return msgspec.structs.replace(
        health, revoked_at=health.revoked_at or now, revoked_credentials=credentials, reason=reason
    )


def reauthorised(health: Health) -> Health:
    """Its credentials were changed: they are tried."""
    return Health(account=health.account)


async def load(tx: Connection, account: str) -> Health:
    """What the store says about the account's health."""
    row = await tx.fetchrow(_LOAD, account)
    return Health(account=account) if row is None else Health(**dict(row))


async def still_away(tx: Connection, account: str, now: datetime) -> bool:
    """Whether the store, too, says that the account is away; nobody can say that it is back until this ends."""
    row = await tx.fetchrow(_SHARED, account)
    return row is not None and Health(**dict(row)).away_since(now) is not None


async def save(tx: Connection, health: Health) -> None:
    """Store it."""
    await tx.execute(
        _SAVE,
        health.account,
        health.paused_until,
        health.breaker_open_since,
        health.probe_at,
        health.probes,
        health.revoked_at,
        health.revoked_credentials,
        health.reason,
    )
