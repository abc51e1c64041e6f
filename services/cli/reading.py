"""Reading one contact from its app, for a command."""

from __future__ import annotations

import contextlib

from services.connectors import discover
from services.contracts.app import Gone, Seen, Trouble
from services.runtime.app import Access
from services.runtime.clock import DatabaseClock
from services.runtime.http import client
from services.runtime.registry import read
from services.runtime.secrets import vault
from services.runtime.settings import Settings
from services.runtime.store import Store
from services.runtime.tokens import StoreKeeper


async def look_at(store: Store, settings: Settings, account: str, contact_id: str) -> Seen | Gone | Trouble:
    """Read the contact as the account's worker would. Raises `SecretsError` where its credentials can't be opened."""
    key = settings.secret_key.get_secret_value() if settings.secret_key else None
    sealed = vault(key, settings.data_dir, bundled_store=settings.bundled_store)
    async with store.transaction(readonly=True) as database:
        known = next((each for each in await read.accounts(database) if each.name == account), None)
        credentials = await read.credentials(database, sealed, account)
    app = None if known is None else discover().get(known.app)
    if known is None or app is None:
        return Trouble(key="removed", detail=f"The account {account} was removed.")
    clock = DatabaseClock()
    await clock.measure(lambda: store.fetchval("SELECT clock_timestamp()"))
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(client(reach=settings.reach))
        keeper = StoreKeeper(store, sealed)
        stack.push_async_callback(keeper.aclose)
        access = Access(
            account=account, settings=known.settings, credentials=credentials, http=http, clock=clock, keeper=keeper
        )
        try:
            return await app.look(access, contact_id)
        except Exception as error:  # noqa: BLE001 - whatever the app raises, the contact couldn't be read
            return Trouble(key="unanswered", detail=f"The app didn't answer ({type(error).__name__}).")
