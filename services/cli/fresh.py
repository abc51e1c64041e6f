"""A fresh read of accounts for a plan: their own scans, taken into a trial; nothing is published or stored."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from services.cli.failure import Failure
from services.cli.files import manifests
from services.connectors import discover
from services.contracts.app import CursorLost, Page, Trouble
from services.contracts.connection import Account
from services.contracts.events import ScanFinished
from services.runtime.app import Access, App
from services.runtime.clock import DatabaseClock
from services.runtime.http import client
from services.runtime.registry import read
from services.runtime.registry.check import Config
from services.runtime.secrets import vault
from services.runtime.settings import Settings
from services.runtime.store import Store
from services.runtime.tokens import StoreKeeper
from services.sync.plan.course import Course
from services.sync.plan.known import Ground
from services.sync.plan.trial import Trial

_ANSWER = 180.0
"""Seconds for one page."""
_LOST = 3
"""Times that a scan begins anew because the app lost its place."""


async def overlay(
    store: Store,
    settings: Settings,
    config: Config,
    under: Ground,
    trial: Trial,
    *,
    went: Callable[[str, int], object],
) -> None:
    """Read all contacts of the plan's accounts and take them into the trial under the connections in force.

    Writes that this leads to would come without the new file, too: they are done in the trial and not told. A contact
    that isn't shown any more stays as it is known. One page at a time, at the account's own pace for feeds. Raises
    `Failure`.
    """
    key = settings.secret_key.get_secret_value() if settings.secret_key else None
    sealed = vault(key, settings.data_dir, bundled_store=settings.bundled_store)
    clock = DatabaseClock()
    await clock.measure(lambda: store.fetchval("SELECT clock_timestamp()"))
    course = Course(trial, under.read, now=under.now, noted=lambda _, __: None)
    apps = discover()
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(client(reach=settings.reach))
        keeper = StoreKeeper(store, sealed)
        stack.push_async_callback(keeper.aclose)
        for account in config.accounts:
            if account.name not in under.accounts:
                continue
            async with store.transaction(readonly=True) as database:
                stored = await read.credentials(database, sealed, account.name)
            given = config.credentials.get(account.name, {})
            access = Access(
                account=account.name,
                settings=account.settings,
                credentials={**given, **stored},
                http=http,
                clock=clock,
                keeper=keeper if stored else None,
            )
            await _scan(apps[account.app], account, access, course, went)
            trial.scanned.add(account.name)
    trial.first.clear()


async def _scan(app: App, account: Account, access: Access, course: Course, went: Callable[[str, int], object]) -> None:
    cursor: str | None = None
    lost = 0
    pause = 1 / max(0.1, manifests()[account.app].of(account.settings).pace.poll)
    while True:
        page = await _page(app, account, access, cursor)
        if isinstance(page, CursorLost):
            lost += 1
            if lost == _LOST:
                raise Failure(f"{account.name} can't be read: its app loses its place in the list. Try again later.")
            cursor = None
            continue
        course.take(*(each.event for each in page.readings if not isinstance(each.event, ScanFinished)))
        went(account.name, len(page.readings))
        cursor = page.cursor
        if not page.more:
            return
        await asyncio.sleep(pause)


async def _page(app: App, account: Account, access: Access, cursor: str | None) -> Page | CursorLost:
    try:
        async with asyncio.timeout(_ANSWER):
            answer = await app.scan(access, cursor)
    except Exception as error:
        raise Failure(
            f"{account.name} can't be read: its app didn't answer ({type(error).__name__}). Without --fresh, the last "
            "known state counts."
        ) from error
    if isinstance(answer, Trouble):
        raise Failure(f"{account.name} can't be read: {answer.detail} Without --fresh, the last known state counts.")
    return answer
