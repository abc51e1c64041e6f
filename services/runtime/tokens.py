"""Tokens that an app rotates: renewed once for all who wait, and stored before anybody uses them.

An app that gets a new refresh token with an access token has to use that one from then on, in every process. The row
`registry.token` of the account is locked while its tokens are renewed, so that whoever comes second finds the first
one's; and what was renewed is handed out only once it is committed.

If a process dies between the app's answer and the commit, the new refresh token is lost. The next renewal tries the
old one, which the app may still take; if it doesn't, the app says so, and a person authorises the account again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Protocol, TypeAlias

import asyncpg
import msgspec

from services.contracts.app import Trouble
from services.runtime.secrets import SecretsError, Vault, purpose
from services.runtime.store import CommitUnknown, Store

UNAVAILABLE = "token_unavailable"
_SECONDS = 75.0
"""For one renewal, the wait for another process's included: above the HTTP client's own limits."""
_ROUNDS = 3

_MAKE = "INSERT INTO registry.token (account) VALUES ($1) ON CONFLICT DO NOTHING"
_LOCK = "SELECT generation, seed_digest, sealed FROM registry.token WHERE account = $1 FOR UPDATE"
_SAVE = """
UPDATE registry.token SET generation = generation + 1, seed_digest = $2, sealed = $3, updated_at = clock_timestamp()
WHERE account = $1
"""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What an app's token endpoint gave."""

    refresh: str
    """The refresh token to use next."""
    access: str
    until: float
    """When the access token isn't to be used any more: unix seconds, by the clock that the app is given."""

    def __repr__(self) -> str:
        """Tokens stay out of whatever prints this."""
        return "Grant()"


Renew: TypeAlias = Callable[[str], Awaitable[Grant | Trouble]]
"""Asks the app for new tokens with a refresh token, once."""
Usable: TypeAlias = Callable[[Grant], bool]
"""Whether a grant's access token may be used: it isn't over, and the app didn't refuse it."""


class Keeper(Protocol):
    """What keeps the tokens of accounts."""

    async def grant(self, account: str, seed: str, usable: Usable, renew: Renew) -> Grant | Trouble:
        """Return a usable grant of the account, renewed if need be; whoever asks meanwhile gets the same.

        `seed` is the refresh token of the account's credentials: what descends from another one isn't used. Trouble
        is `renew`'s, or `token_unavailable` if the tokens can't be read or stored now.
        """
        ...


class _Flights:
    """One flight at a time per account. It goes on when those who wait for it give up."""

    def __init__(self) -> None:
        self._tasks: dict[str, tuple[asyncio.AbstractEventLoop, asyncio.Task[Grant | Trouble]]] = {}

    async def join(self, key: str, start: Callable[[], Coroutine[None, None, Grant | Trouble]]) -> Grant | Trouble:
        """The outcome of the flight that is under way, or of a new one."""
        loop = asyncio.get_running_loop()
        known = self._tasks.get(key)
        if known is None or known[0] is not loop or known[1].done():
            known = (loop, loop.create_task(start(), name="token-renewal"))
            known[1].add_done_callback(_heard)
            self._tasks[key] = known
        return await asyncio.shield(known[1])

    async def land(self) -> None:
        """Wait for the flights of this loop."""
        loop = asyncio.get_running_loop()
        tasks = {task for of, task in self._tasks.values() if of is loop and not task.done()}
        if tasks:
            await asyncio.wait(tasks)


def _heard(task: asyncio.Task[Grant | Trouble]) -> None:
    if not task.cancelled():
        task.exception()  # those who wait raise it, if anybody does


class MemoryKeeper:
    """Keeps tokens in this process only: for apps that never rotate, and for trying things out."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, Grant]] = {}
        self._flights = _Flights()

    async def grant(self, account: str, seed: str, usable: Usable, renew: Renew) -> Grant | Trouble:
        """As `Keeper.grant`."""

        async def fly() -> Grant | Trouble:
            held = self._of(account, seed)
            grant = await renew(held.refresh if held else seed)
            if isinstance(grant, Grant):
                self._held[account] = (seed, grant)
            return grant

        for _ in range(_ROUNDS):
            held = self._of(account, seed)
            if held is not None and usable(held):
                return held
            outcome = await self._flights.join(f"{account}\0{seed}", fly)
            if isinstance(outcome, Trouble) or usable(outcome):
                return outcome
        return _unusable(account)

    def _of(self, account: str, seed: str) -> Grant | None:
        known = self._held.get(account)
        return known[1] if known is not None and known[0] == seed else None


class _Unsaved(msgspec.Struct, frozen=True):
    """A grant that the app gave and the store hasn't confirmed, and the generation that it takes the place of."""

    digest: bytes
    generation: int
    grant: Grant

    def __repr__(self) -> str:
        return "_Unsaved()"


class StoreKeeper:
    """Keeps tokens in `registry.token`, sealed, for all processes of an installation."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault
        self._held: dict[str, tuple[bytes, Grant]] = {}
        self._unsaved: dict[str, _Unsaved] = {}
        self._flights = _Flights()

    async def grant(self, account: str, seed: str, usable: Usable, renew: Renew) -> Grant | Trouble:
        """As `Keeper.grant`."""
        place = purpose(account, "registry.token")
        digest = self._vault.digest(seed.encode(), place)

        async def fly() -> Grant | Trouble:
            try:
                async with asyncio.timeout(_SECONDS):
                    return await self._renewed(account, place, digest, seed, usable, renew)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, CommitUnknown) as error:
                detail = f"The tokens of {account} can't be read or stored now ({type(error).__name__})."
                return Trouble(key=UNAVAILABLE, detail=detail)

        for _ in range(_ROUNDS):
            held = self._held.get(account)
            if held is not None and held[0] == digest and usable(held[1]):
                return held[1]
            outcome = await self._flights.join(f"{account}\0{digest.hex()}", fly)
            if isinstance(outcome, Trouble) or usable(outcome):
                return outcome
        return _unusable(account)

    async def aclose(self) -> None:
        """Wait for renewals that are under way, so that none is lost; to be called before the store closes."""
        await self._flights.land()

    async def _renewed(
        self, account: str, place: str, digest: bytes, seed: str, usable: Usable, renew: Renew
    ) -> Grant | Trouble:
        async with self._store.transaction() as tx:
            await tx.execute(_MAKE, account)
            row = await tx.fetchrow(_LOCK, account)
            if row is None:
                return Trouble(key=UNAVAILABLE, detail=f"The account {account} was removed.")
            # While keys are rotated, it may still be an older key's.
            digests = self._vault.digests(seed.encode(), place).values()
            kept = self._opened(place, row["sealed"]) if row["seed_digest"] in digests else None
            grant = self._left_over(account, digest, row["generation"])
            if grant is None and kept is not None and usable(kept):
                self._held[account] = (digest, kept)
                return kept
            if grant is None:
                renewed = await renew(kept.refresh if kept is not None else seed)
                if isinstance(renewed, Trouble):
                    return renewed
                grant = renewed
                self._unsaved[account] = _Unsaved(digest, row["generation"], grant)
            sealed = self._vault.seal(msgspec.json.encode(grant), place)
            await tx.execute(_SAVE, account, self._vault.digest(seed.encode(), place), sealed)
        self._unsaved.pop(account, None)
        self._held[account] = (digest, grant)
        return grant

    def _left_over(self, account: str, digest: bytes, generation: int) -> Grant | None:
        """What the app gave last time and couldn't be stored then; nothing if it was, or if others went on."""
        unsaved = self._unsaved.get(account)
        if unsaved is None:
            return None
        if (unsaved.digest, unsaved.generation) != (digest, generation):
            del self._unsaved[account]
            return None
        return unsaved.grant

    def _opened(self, place: str, sealed: bytes | None) -> Grant | None:
        """The stored tokens; None if there are none, or another key sealed them: then the credential's is tried."""
        if sealed is None:
            return None
        try:
            return msgspec.json.decode(self._vault.open(bytes(sealed), place), type=Grant)
        except (SecretsError, msgspec.MsgspecError):
            return None


def _unusable(account: str) -> Trouble:
    return Trouble(key=401, detail=f"The app refuses every new access token of {account}: authorise it again.")
