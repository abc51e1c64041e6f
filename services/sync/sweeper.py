"""The sweeper: nothing depends on another event coming by (P10). Feeds links whose time has come through the step."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import NoReturn

import structlog

from services.contracts.app import Manifest
from services.contracts.contact import SIDES, Side
from services.runtime.log.errors import is_passing
from services.runtime.store import Connection as Database
from services.runtime.store import Record, Store
from services.sync.configs import Configs, MissingAppError, read_configs
from services.sync.core.issue import RESEND
from services.sync.core.take import Reconsider, Sighted
from services.sync.transact import Cause, transact
from services.sync.worker import GROUP

CHUNK = 100
IDLE = 0.25
"""Seconds between looks at the clock when nothing is due."""

SEED_AGAIN = 60.0
"""Seconds after which contacts without a link are looked for again."""

_NEWS = """
SELECT EXISTS (SELECT FROM sync.wake) OR EXISTS (SELECT FROM sync.suspect WHERE NOT held)
    OR EXISTS (SELECT FROM sync.link WHERE reconsider_at <= now())
"""
_DUE = """
SELECT id::text FROM sync.link WHERE reconsider_at <= now() AND id <> ALL($2::uuid[]) ORDER BY reconsider_at LIMIT $1
"""
_UNSETTLED = """
SELECT id::text FROM sync.link
 WHERE unsettled_since <= now() - make_interval(secs => $3) AND id <> ALL($2::uuid[]) ORDER BY unsettled_since LIMIT $1
"""
_UNANSWERED_LOOKS = """
SELECT account, contact_id FROM sync.contact
 WHERE looking AND updated_at <= now() - make_interval(secs => $2)
   AND account IN (SELECT name FROM registry.account WHERE app = ANY($3::text[])) ORDER BY updated_at LIMIT $1
"""
_WOKEN = "SELECT id, link::text FROM sync.wake ORDER BY id LIMIT $1"
_AWAKE = "DELETE FROM sync.wake WHERE id = ANY($1::bigint[])"
_OUTDATED = """
SELECT c.name, l.id::text FROM unnest($1::text[], $2::bigint[]) c (name, version) CROSS JOIN LATERAL (
    SELECT id FROM sync.link
     WHERE connection = c.name AND config_version < c.version AND status <> 'ended' AND id <> ALL($4::uuid[]) LIMIT $3
) l
"""
_RESUMED = """
SELECT c.name, l.id::text FROM unnest($1::text[]) c (name) CROSS JOIN LATERAL (
    SELECT id FROM sync.link
     WHERE wait_reason = 'paused' AND wait_on = c.name AND status <> 'ended' AND id <> ALL($3::uuid[]) LIMIT $2
) l
"""
_UNSEEN = """
SELECT c.contact_id FROM sync.contact c
 WHERE c.account = $1 AND NOT c.deleted AND NOT EXISTS (
       SELECT FROM sync.link l WHERE l.connection = $2 AND l.{side}_id = c.contact_id AND l.status <> 'ended')
 ORDER BY c.seq LIMIT $3
"""
# A partition without progress is new to sync: it is read from its start, and counts as soon as it was.
_CAUGHT_UP = """
DELETE FROM sync.catching_up WHERE NOT EXISTS (
    SELECT FROM sync.catching_up c LEFT JOIN sync.progress p
        ON (p.grp, p.topic, p.partition) = ($1, c.topic, c.partition)
     WHERE coalesce(p.next_offset, 0) < c.upto)
"""
_STUCK = """
INSERT INTO sync.stuck (kind, id, error, at) VALUES ($1, $2, $3, now())
    ON CONFLICT (kind, id) DO UPDATE SET error = excluded.error, at = excluded.at
"""
_STILL_STUCK = "SELECT kind, id FROM sync.stuck"
_START = "DELETE FROM sync.stuck"
_SUSPECTS = "SELECT account, contact_id FROM sync.suspect WHERE NOT held LIMIT $1"
_LOOKED = """
DELETE FROM sync.suspect s USING unnest($1::text[], $2::text[]) k (account, id)
 WHERE s.account = k.account AND s.contact_id = k.id AND NOT s.held
"""


class Sweeper:
    """Runs beside the worker, in chunks."""

    def __init__(self, store: Store, manifests: Mapping[str, Manifest], on_commit: Callable[[], None]) -> None:
        self._store = store
        self._manifests = manifests
        self._on_commit = on_commit
        self._seeded: dict[str, tuple[int, float]] = {}
        """Connection -> the version all contacts were shown to, and when on the loop's clock."""
        self._failed: set[tuple[str, str]] = set()
        """What couldn't be reconsidered since the start, unless a person asked for it again."""
        self._started = False
        self.woken = asyncio.Event()

    async def configs(self, database: Database) -> Configs:
        """Read the connections in force."""
        return await read_configs(database, self._manifests)

    async def run(self) -> NoReturn:
        """Sweep for ever: everything at its time, and what a commit may have left to do after each."""
        loop = asyncio.get_running_loop()
        whole_at = loop.time()
        while True:
            self.woken.clear()
            try:
                if loop.time() >= whole_at:
                    busy = await self.sweep()
                    whole_at = loop.time() + IDLE
                else:
                    busy = await self.glance()
            except Exception as error:
                if not is_passing(error):
                    raise
                structlog.get_logger().warning("sweep_put_off", error=type(error).__name__)
                busy, whole_at = False, loop.time() + IDLE
                await asyncio.sleep(IDLE)
            if not busy:
                try:
                    async with asyncio.timeout_at(whole_at):  # 3.11's wait_for may swallow the end of a role
                        await self.woken.wait()
                except TimeoutError:
                    continue

    async def glance(self) -> bool:
        """Reconsider what commits leave to do, if there is any: asked after each, so it is one question."""
        if not await self._store.fetchval(_NEWS):
            return False
        return any([await self._woken(), await self._due(), await self._suspects()])

    async def sweep(self) -> bool:
        """Reconsider what is due, a chunk of each kind; return whether there was anything."""
        if await self._store.execute(_CAUGHT_UP, GROUP) != "DELETE 0":
            structlog.get_logger().info("caught_up_after_restore")
        await self._forgive()
        done = [
            await self._woken(),
            await self._due(),
            await self._unanswered(),
            await self._suspects(),
            await self._outdated(),
        ]
        return any(done)

    async def _forgive(self) -> None:
        """Try again what a person asked for (G2); at the start everything is tried."""
        if not self._started:
            await self._store.execute(_START)
            self._started = True
        if self._failed:
            rows = await self._store.fetch(_STILL_STUCK)
            self._failed &= {(row["kind"], row["id"]) for row in rows}

    async def _feed(self, causes: Sequence[Cause]) -> bool:
        """Fold the causes; False if there are none. One that can't be folded waits for the next start."""
        causes = [cause for cause in causes if (cause.type, cause.id) not in self._failed]
        if not causes:
            return False
        try:
            together = await self._fold(causes)
        except Exception as error:
            if is_passing(error) or isinstance(error, MissingAppError):
                raise
            together = False
        if not together:
            for cause in causes:
                await self._feed_one(cause)
        self._on_commit()
        return True

    async def _feed_one(self, cause: Cause) -> None:
        try:
            while not await self._fold([cause]):
                continue
        except Exception as error:
            if is_passing(error) or isinstance(error, MissingAppError):
                raise
            await self._store.execute(_STUCK, cause.type, cause.id, type(error).__name__)
            self._failed.add((cause.type, cause.id))
            link = cause.id if cause.type == "reconsider" else None
            structlog.get_logger().exception("reconsideration_failed", link=link, error=type(error).__name__)

    async def _fold(self, causes: Sequence[Cause]) -> bool:
        async def begin(_: Database) -> Sequence[Cause]:
            return causes

        return await transact(self._store, self.configs, begin)

    async def _woken(self) -> bool:
        rows = await self._store.fetch(_WOKEN, CHUNK)
        links = sorted({row["link"] for row in rows})
        fed = await self._feed([_reconsider(link) for link in links])
        if rows:
            # A link woken again meanwhile has a later row; losing this one's end is harmless, a step repeats.
            await self._store.execute(_AWAKE, [row["id"] for row in rows])
        return fed

    def _stuck(self) -> list[str]:
        """Return the links that couldn't be reconsidered: others aren't to wait behind them."""
        return [link for kind, link in self._failed if kind == "reconsider"]

    async def _due(self) -> bool:
        rows = await self._store.fetch(_DUE, CHUNK, self._stuck())
        return await self._feed([_reconsider(row["id"]) for row in rows])

    async def _unanswered(self) -> bool:
        """Ask and send again what nobody has answered for long: the command, or its answer, is lost."""
        seconds = RESEND / 1_000_000
        rows = await self._store.fetch(_UNSETTLED, CHUNK, self._stuck(), seconds)
        sent = await self._feed([_reconsider(row["id"]) for row in rows])
        looks = await self._store.fetch(_UNANSWERED_LOOKS, CHUNK, seconds, list(self._manifests))
        return await self._feed([_sighted(row["account"], row["contact_id"], look=True) for row in looks]) or sent

    async def _suspects(self) -> bool:
        rows = await self._store.fetch(_SUSPECTS, CHUNK)
        causes = [_sighted(row["account"], row["contact_id"], look=True) for row in rows]
        fed = await self._feed(causes)
        if rows:
            keys = [row["account"] for row in rows], [row["contact_id"] for row in rows]
            await self._store.execute(_LOOKED, *keys)
        return fed

    async def _outdated(self) -> bool:
        """Reconsider links under an older config, and contacts that a connection hasn't seen."""
        async with self._store.transaction(readonly=True) as database:
            configs = await self.configs(database)
        busy = False
        there = {name: config for name, config in configs.connections.items() if not config.removed}
        versions = [config.version for config in there.values()]
        outdated = await self._store.fetch(_OUTDATED, list(there), versions, CHUNK, self._stuck())
        busy |= await self._feed_each(outdated)
        running = [name for name, config in there.items() if not config.paused]
        busy |= await self._feed_each(await self._store.fetch(_RESUMED, running, CHUNK, self._stuck()))
        for name, config in there.items():
            if not self._to_seed(name, config.version):
                continue
            unseen = [
                _sighted(config.account(side), contact_id)
                for side in SIDES
                for contact_id in await self._unseen(config.account(side), name, side)
            ]
            if await self._feed(unseen):
                busy = True
            else:
                self._seeded[name] = (config.version, asyncio.get_running_loop().time())
        return busy

    async def _feed_each(self, rows: Sequence[Record]) -> bool:
        """Reconsider links, those of each connection together."""
        busy = False
        for _, those in groupby(rows, key=lambda row: row["name"]):
            busy |= await self._feed([_reconsider(row["id"]) for row in those])
        return busy

    def _to_seed(self, name: str, version: int) -> bool:
        """Whether to look for contacts without a link: a batch that began before the change may end after a look."""
        seeded, at = self._seeded.get(name, (0, 0.0))
        return seeded != version or asyncio.get_running_loop().time() - at > SEED_AGAIN

    async def _unseen(self, account: str, connection: str, side: Side) -> list[str]:
        query = _UNSEEN.replace("{side}", side)
        return [row["contact_id"] for row in await self._store.fetch(query, account, connection, CHUNK)]


def _reconsider(link: str) -> Cause:
    return Cause(item=Reconsider(link=link), type="reconsider", id=link)


def _sighted(account: str, contact_id: str, *, look: bool = False) -> Cause:
    return Cause(item=Sighted(account=account, contact_id=contact_id, look=look), type="sighted", id=contact_id)
