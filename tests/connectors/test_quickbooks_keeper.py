"""Rotated tokens in the store: one renewal for all processes, stored before it is used, recovered after crashes."""

import asyncio
import base64
from collections.abc import Awaitable, Callable

import pytest

from services.connectors.verdicts import verdict_on
from services.contracts.app import Gone, Trouble, Verdict
from services.runtime.secrets import Vault
from services.runtime.store import Store
from services.runtime.tokens import Grant, MemoryKeeper, StoreKeeper
from tests.connectors.quickbooks_rig import Books, must

VAULT = Vault(b"0" * 32)
NOBODY = "99999"
ACCOUNT = """
WITH made AS (INSERT INTO registry.config (applied_by, source, content) VALUES ('test', '', '{}') RETURNING version)
INSERT INTO registry.account (name, app, config_version) SELECT $1, 'quickbooks', version FROM made
"""


@pytest.fixture
async def kept(store: Store) -> Store:
    await store.execute(ACCOUNT, "books")
    return store


async def looked(books: Books, keeper: StoreKeeper, refresh_token: str = "") -> object:
    return await books.app.look(books.access(keeper=keeper, refresh_token=refresh_token), NOBODY)


def fresh(grant: Grant) -> bool:
    return grant.access != "old"


def giving(*grants: Grant | Trouble) -> tuple[Callable[[str], Awaitable[Grant | Trouble]], list[str]]:
    """A token endpoint that gives these, and what it was asked with."""
    asked: list[str] = []

    async def renew(refresh: str) -> Grant | Trouble:
        asked.append(refresh)
        return grants[len(asked) - 1]

    return renew, asked


async def waiting(store: Store, number: int) -> None:
    """Return once so many wait for the lock of an account's tokens."""
    count = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND wait_event_type = 'Lock' AND query LIKE '%registry.token%'"
    )
    async with asyncio.timeout(20):
        while await store.fetchval(count) < number:  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.01)


def grant(name: str) -> Grant:
    return Grant(refresh=f"refresh-{name}", access=name, until=9e9)


async def test_f9_five_hundred_401s_in_four_processes_cost_one_token(kept: Store) -> None:
    async with Books() as books:
        books.box.quota.minute = books.box.quota.at_once = None
        keepers = [StoreKeeper(kept, VAULT) for _ in range(4)]
        for keeper in keepers:
            must(await looked(books, keeper), Gone)
        assert books.box.oauth.refreshes == 1
        books.clock.advance(86_400)
        books.box.oauth.expire_access()
        gate = books.box.faults.hold("POST", "/token")
        tasks = [asyncio.create_task(looked(books, keepers[n % 4])) for n in range(500)]
        await waiting(kept, 3)
        gate.set()
        assert all(isinstance(each, Gone) for each in await asyncio.gather(*tasks))
        assert books.box.oauth.refreshes == 2


async def test_f9_a_rotated_token_outlives_the_process(kept: Store) -> None:
    async with Books() as books:
        for _ in range(5):
            must(await looked(books, StoreKeeper(kept, VAULT)), Gone)
            books.clock.advance(86_400)
        assert books.box.oauth.refreshes == 5


async def test_f9_nothing_is_asked_with_a_token_that_isnt_stored(kept: Store) -> None:
    async with Books() as books:
        keeper = StoreKeeper(kept, VAULT)
        await kept.execute("ALTER TABLE registry.token ADD CONSTRAINT broken CHECK (sealed IS NULL)")
        answer = must(await looked(books, keeper), Trouble)
        assert verdict_on(answer, books.app.manifest) is Verdict.RETRY
        assert books.box.requests.to("GET") == []
        await kept.execute("ALTER TABLE registry.token DROP CONSTRAINT broken")
        must(await looked(books, keeper), Gone)
        # What the app gave then wasn't lost: it was stored now.
        assert books.box.oauth.refreshes == 1
        assert await kept.fetchval("SELECT generation FROM registry.token") == 1


@pytest.mark.parametrize("grace", [86_400.0, 0.0])
async def test_f9_a_crash_between_renewal_and_store_is_recovered_or_asks_for_a_person(
    kept: Store, grace: float
) -> None:
    async with Books() as books:
        books.box.oauth.grace = grace
        must(await looked(books, StoreKeeper(kept, VAULT)), Gone)
        books.clock.advance(86_400)

        async def dies(refresh: str) -> Grant | Trouble:
            # The endpoint has answered, with another refresh token, and the process is no more.
            books.box.oauth.token(basic(books), {"grant_type": "refresh_token", "refresh_token": refresh})
            raise asyncio.CancelledError

        with pytest.raises(asyncio.CancelledError):
            await StoreKeeper(kept, VAULT).grant("books", books.box.refresh_token, lambda _: False, dies)
        answer = await looked(books, StoreKeeper(kept, VAULT))
        if grace:
            assert isinstance(answer, Gone)
            return
        trouble = must(answer, Trouble)
        assert verdict_on(trouble, books.app.manifest) is Verdict.REAUTHORISE
        assert "lost when contactsync was interrupted" in trouble.detail
        # A person authorises the account again: another refresh token stands in its credentials.
        following = books.box.oauth.grant(books.box.realm)
        must(await looked(books, StoreKeeper(kept, VAULT), following), Gone)


def basic(books: Books) -> str:
    identity = f"{books.box.oauth.client_id}:{books.box.oauth.client_secret}"
    return f"Basic {base64.b64encode(identity.encode()).decode()}"


async def test_the_one_who_waits_for_the_lock_takes_what_the_other_got(kept: Store) -> None:
    begun, gate = asyncio.Event(), asyncio.Event()

    async def slow(refresh: str) -> Grant | Trouble:
        begun.set()
        await gate.wait()
        return grant("new")

    renew, asked = giving(grant("never"))
    first = asyncio.create_task(StoreKeeper(kept, VAULT).grant("books", "seed", fresh, slow))
    await begun.wait()
    second = asyncio.create_task(StoreKeeper(kept, VAULT).grant("books", "seed", fresh, renew))
    await waiting(kept, 1)
    gate.set()
    assert await first == await second == grant("new")
    assert asked == []


async def test_each_renewal_is_made_with_the_last_ones_refresh_token(kept: Store) -> None:
    renew, asked = giving(grant("one"), grant("two"), grant("three"))
    for n, refused in enumerate(("", "one", "two")):
        keeper = StoreKeeper(kept, VAULT)
        found = must(await keeper.grant("books", "seed", lambda g, no=refused: g.access != no, renew), Grant)  # type: ignore[misc]
        assert found.access == ("one", "two", "three")[n]
    assert asked == ["seed", "refresh-one", "refresh-two"]


async def test_another_credential_starts_anew_and_the_same_one_doesnt(kept: Store) -> None:
    renew, asked = giving(grant("one"), grant("two"))
    await StoreKeeper(kept, VAULT).grant("books", "seed", fresh, renew)
    await StoreKeeper(kept, VAULT).grant("books", "seed", fresh, renew)
    await StoreKeeper(kept, VAULT).grant("books", "other", fresh, renew)
    assert asked == ["seed", "other"]


async def test_tokens_are_sealed_and_another_key_starts_from_the_credential(kept: Store) -> None:
    renew, asked = giving(grant("secret-word"), grant("two"))
    await StoreKeeper(kept, VAULT).grant("books", "seed", fresh, renew)
    row = await kept.fetchrow("SELECT seed_digest, sealed FROM registry.token")
    assert row is not None
    assert b"secret-word" not in bytes(row["sealed"])
    assert b"seed" not in bytes(row["seed_digest"])
    await StoreKeeper(kept, Vault(b"1" * 32)).grant("books", "seed", fresh, renew)
    assert asked == ["seed", "seed"]


async def test_trouble_is_told_to_all_and_changes_nothing(kept: Store) -> None:
    keeper = StoreKeeper(kept, VAULT)
    renew, _ = giving(Trouble(key="invalid_grant", detail="no"), grant("one"))
    assert must(await keeper.grant("books", "seed", fresh, renew), Trouble).key == "invalid_grant"
    assert await kept.fetchval("SELECT count(*) FROM registry.token WHERE sealed IS NOT NULL") == 0
    assert await keeper.grant("books", "seed", fresh, renew) == grant("one")


@pytest.mark.parametrize("kind", ["memory", "store"])
async def test_an_app_that_refuses_each_new_token_isnt_asked_for_ever(kept: Store, kind: str) -> None:
    keeper = MemoryKeeper() if kind == "memory" else StoreKeeper(kept, VAULT)
    renew, asked = giving(*(grant("old") for _ in range(10)))
    outcome = await keeper.grant("books", "seed", fresh, renew)
    assert must(outcome, Trouble).key == 401
    assert len(asked) == 3


async def test_a_removed_account_has_no_tokens(store: Store) -> None:
    renew, asked = giving(grant("one"))
    assert (
        must(await StoreKeeper(store, VAULT).grant("nobody", "seed", fresh, renew), Trouble).key == "token_unavailable"
    )
    assert asked == []


async def test_a_store_that_is_away_is_no_reason_to_ask_a_person(kept: Store) -> None:
    renew, asked = giving(grant("one"))
    await kept.pool.close()
    trouble = must(await StoreKeeper(kept, VAULT).grant("books", "seed", fresh, renew), Trouble)
    assert (trouble.key, asked) == ("token_unavailable", [])


async def test_a_renewal_under_way_is_waited_for_at_the_end(kept: Store) -> None:
    begun, gate = asyncio.Event(), asyncio.Event()

    async def slow(refresh: str) -> Grant | Trouble:
        begun.set()
        await gate.wait()
        return grant("new")

    keeper = StoreKeeper(kept, VAULT)
    task = asyncio.create_task(keeper.grant("books", "seed", fresh, slow))
    await begun.wait()
    task.cancel()
    closing = asyncio.create_task(keeper.aclose())
    gate.set()
    await closing
    renew, asked = giving(grant("never"))
    assert await StoreKeeper(kept, VAULT).grant("books", "seed", fresh, renew) == grant("new")
    assert asked == []


def test_no_token_is_printed() -> None:
    assert "secret" not in repr(Grant(refresh="secret", access="secret", until=0.0))
