"""What is asked all the time is planned once, and reads nobody whom it isn't about, however many there are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from services.connectors import ledger, reads
from services.runtime.store import Connection, Store
from services.sync.closure import Keys, closure
from services.sync.configs import Configs
from services.sync.load import lock
from services.sync.save import _WAKE
from services.sync.sweeper import _DUE, _NEWS, _UNANSWERED_LOOKS, _UNSETTLED

MANY = 3_000
NOW = datetime(2026, 11, 1, tzinfo=UTC)
_LEDGER = """
INSERT INTO connectors.ledger (link, side, app, account, connection, config_version, incarnation, n, type, command,
                               decided_at, state, next_try_at, created_at, updated_at)
SELECT gen_random_uuid(), 'left', 'stripe', 'shop', 'pair', 1, 1, 1, '', '', now(), 'settled', now(), now(), now()
  FROM generate_series(1, $1::int)
"""
_CONTACTS = """
INSERT INTO sync.contact (account, contact_id, deleted, order_end, looking, state, object, updated_at)
SELECT 'shop', 'c' || n, false, 0, false, '{}', 'null', now() FROM generate_series(1, $1::int) n
"""
_ADDRESSES = """
INSERT INTO sync.contact_address (address, account, contact_id)
SELECT 'email:' || n, 'shop', 'c' || n FROM generate_series(1, $1::int) n
"""
_LINKS = """
INSERT INTO sync.link (id, connection, left_id, status, config_version, holds, refusals, unsettled, state, updated_at)
SELECT gen_random_uuid(), 'pair', 'c' || n, 'active', 1, 0, 0, 0, '{}', now() FROM generate_series(1, $1::int) n
"""
_READ = """
SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_xact_user_tables
 WHERE schemaname IN ('sync', 'connectors')
"""
Asked = Callable[[Connection], Awaitable[object]]


@pytest.fixture
async def crowded(database: str) -> AsyncIterator[Store]:
    """A store as a running process has it, with many contacts and settled writes."""
    async with Store.open(database, plan_once=True) as store:
        for statement in (_LEDGER, _CONTACTS, _ADDRESSES, _LINKS):
            await store.execute(statement, MANY)
        for table in ("connectors.ledger", "sync.contact", "sync.contact_address", "sync.link"):
            await store.pool.execute(f"VACUUM ANALYZE {table}")
        yield store


async def _closure(database: Connection) -> object:
    found = await closure(
        database, Keys(contacts={("shop", "c7")}), Configs(connections={}, manifests={}, incarnation=1)
    )
    assert found.addresses == {"email:7"}
    return found


async def _lock(database: Connection) -> object:
    _, contacts = await lock(database, Keys(addresses={"email:7"}, contacts={("shop", "c7"), ("shop", "c8")}))
    assert len(contacts) == 2
    return contacts


@pytest.mark.parametrize(
    "ask",
    [
        lambda database: ledger.next_due(database, "shop", ("pending", "unknown")),
        lambda database: ledger.due(database, "shop", ("pending", "unknown"), NOW),
        lambda database: ledger.untold(database, "shop", NOW - timedelta(minutes=1)),
        lambda database: reads.next_due(database, "shop"),
        lambda database: reads.claim(database, "shop", NOW),
        lambda database: database.fetchval(_NEWS),
        lambda database: database.fetch(_DUE, 100, []),
        lambda database: database.fetch(_UNSETTLED, 100, [], 60.0),
        lambda database: database.fetch(_UNANSWERED_LOOKS, 100, 60.0, ["stripe"]),
        lambda database: database.execute(_WAKE, ["email:7", "c7"]),
        _closure,
        _lock,
    ],
)
async def test_what_is_asked_all_the_time_reads_nobody_else(crowded: Store, ask: Asked) -> None:
    async with crowded.transaction() as database:
        await ask(database)
        before = await database.fetchval(_READ) or 0
        await ask(database)
        assert await database.fetchval(_READ) - before <= 20


async def test_a_statement_is_planned_once_whatever_its_arguments_are(crowded: Store) -> None:
    async with crowded.transaction() as database:
        for many in (1, 2, 500):
            await database.fetch("SELECT id FROM sync.link WHERE left_id = ANY($1::text[])", ["c1"] * many)
        plans = await database.fetch(
            "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE 'SELECT id FROM%'"
        )
        assert [tuple(row) for row in plans] == [(3, 0)]
