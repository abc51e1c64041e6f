"""`doctor`: is everything as it has to be, and what to do where it isn't."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import httpx2
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from services.cli import checkup
from services.cli.database import opened
from services.cli.failure import FAILED
from services.cli.finding import Line, looked
from services.cli.output import say
from services.connectors import discover
from services.runtime import http
from services.runtime.authorize.way import State
from services.runtime.clock import DatabaseClock, SystemClock
from services.runtime.log.errors import UnknownTopicError
from services.runtime.log.open import log_of
from services.runtime.log.topics import topics
from services.runtime.secrets import vault
from services.runtime.settings import Settings, load
from services.runtime.store import Store
from services.runtime.store.migrate import migrations, pending

_OLDEST = 150_000
"""PostgreSQL 15, as server_version_num."""
_APART, _FAR_APART = 5.0, 60.0
"""Seconds between this machine's clock and the database's: doubtful, and wrong (webhooks are dated)."""
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what to ask instead


async def doctor(*, as_json: bool) -> int:
    """Look at everything, print a line each; 1 if anything is wrong."""
    settings = load()
    lines: list[Line] = []
    if settings.bundled_store and not settings.data_dir.exists():
        told = f"there is no data in {settings.data_dir} yet"
        lines.append(Line(about="store", state="doubtful", told=told, next_step="`contactsync run` makes it."))
    else:
        lines += await looked("store", _inside(settings))
    if not any(line.about == "webhooks" for line in lines):
        lines += (await looked("webhooks", _listening(settings)))[:1]
    if as_json:
        say(msgspec.json.format(msgspec.json.encode(lines), indent=2).decode())
    else:
        for line in lines:
            say(str(line))
    return FAILED if any(line.state == "wrong" for line in lines) else 0


async def _inside(settings: Settings) -> Sequence[Line]:
    async with opened(settings, migrated=False) as store:
        lines = list(await looked("store", _store(store, bundled=settings.bundled_store)))
        if any(line.about == "store" and line.state != "fine" and line.told.startswith("it lacks") for line in lines):
            return lines
        lines += await looked("log", _log(settings, store))
        lines += await looked("webhooks", _listening(settings))
        lines += await looked("accounts", _accounts(settings, store))
        return lines


async def _store(store: Store, *, bundled: bool) -> Sequence[Line]:
    row = await store.fetchrow(
        "SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS number"
    )
    if row is None or row["number"] < _OLDEST:
        told = f"PostgreSQL {row['version'] if row else ''} is too old"
        return [Line(about="store", state="wrong", told=told, next_step="contactsync needs PostgreSQL 15 or newer.")]
    async with store.transaction(readonly=True) as connection:
        lacking = await pending(connection)
    if lacking:
        told = f"it lacks {len(lacking)} of {len(migrations())} migrations"
        step = "`contactsync run` applies them." if bundled else "`contactsync migrate` applies them."
        return [Line(about="store", state="doubtful" if bundled else "wrong", told=told, next_step=step)]
    version = str(row["version"]).partition(" ")[0]
    told = f"{'the bundled ' if bundled else ''}PostgreSQL {version}, with all {len(migrations())} migrations"
    clock = DatabaseClock()
    await clock.measure(lambda: _now(store))
    apart = (clock.now() - SystemClock().now()).total_seconds()
    lines = [Line(about="store", state="fine", told=told)]
    if abs(apart) > _APART:
        told = f"its clock is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} this machine's"
        state: State = "wrong" if abs(apart) > _FAR_APART else "doubtful"
        lines.append(Line(about="clock", state=state, told=told, next_step="Let both take the time from NTP."))
    return lines


async def _now(store: Store) -> datetime:
    now: datetime = await store.fetchval("SELECT clock_timestamp()")
    return now


async def _log(settings: Settings, store: Store) -> Sequence[Line]:
    wanted = topics(discover())
    name = "Kafka" if settings.kafka_log else "in PostgreSQL"
    async with log_of(settings, store) as log:
        try:
            await log.check_topics(wanted)
        except UnknownTopicError as error:
            made = settings.bundled_store and not settings.kafka_log
            step = f"`contactsync {'run' if made else 'migrate'}` makes the topics that are missing."
            told = "it lacks topics, as before the first run" if made else str(error)
            return [Line(about="log", state="doubtful" if made else "wrong", told=told, next_step=step)]
        if not await log.ready():
            told = f"{name}: a publication wouldn't be confirmed now, so webhooks are refused until it is"
            return [Line(about="log", state="wrong", told=told, next_step="Are all brokers there?")]
    return [Line(about="log", state="fine", told=f"{name}, {len(wanted)} topics; a publication would be confirmed")]


async def _listening(settings: Settings) -> Sequence[Line]:
    if settings.port == 0:
        return [Line(about="webhooks", state="fine", told="CONTACTSYNC_LISTEN takes any free port: not looked at")]
    answer = await _asked(settings, "/readyz")
    if answer is None:
        told = f"nothing listens at {settings.listen}: webhooks aren't taken now"
        return [Line(about="webhooks", state="doubtful", told=told, next_step="`contactsync run` listens.")]
    if answer.status_code == 200:
        told = f"{settings.listen} takes them, under /hooks/ACCOUNT"
        return [Line(about="webhooks", state="fine", told=told)]
    if answer.status_code != 503:
        told = f"what listens at {settings.listen} isn't contactsync (it answered {answer.status_code})"
        return [Line(about="webhooks", state="wrong", told=told, next_step="Set CONTACTSYNC_LISTEN to another port.")]
    told = f"{settings.listen} refuses them for now: {_missing(answer)}"
    return [Line(about="webhooks", state="wrong", told=told, next_step="It takes them again once that is there.")]


def _missing(answer: httpx2.Response) -> str:
    try:
        found = msgspec.json.decode(answer.content, type=dict[str, bool | list[str]]).get("missing")
    except msgspec.MsgspecError:
        found = None
    return ", ".join(found) if isinstance(found, list) else "it doesn't say why"


async def _accounts(settings: Settings, store: Store) -> Sequence[Line]:
    key = settings.secret_key.get_secret_value() if settings.secret_key else None
    clock = DatabaseClock()
    await clock.measure(lambda: _now(store))
    async with http.client(reach=settings.reach) as web:
        surgery = checkup.Surgery(
            store,
            vault(key, settings.data_dir, bundled_store=settings.bundled_store),
            discover(),
            web,
            clock,
            await _deliveries(settings),
        )
        return await checkup.accounts(surgery)


async def _deliveries(settings: Settings) -> Mapping[tuple[str, str], int]:
    """The running contactsync's counters of webhooks; empty if none runs here."""
    answer = await _asked(settings, "/metrics") if settings.port else None
    if answer is None or answer.status_code != 200:
        return {}
    try:
        return {
            (sample.labels["account"], sample.labels["outcome"]): int(sample.value)
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
            if sample.name == "contactsync_deliveries_total"
        }
    except (ValueError, KeyError):
        return {}


async def _asked(settings: Settings, path: str) -> httpx2.Response | None:
    """What the contactsync of these settings answers; None if nobody does. No proxy stands between."""
    host = _EVERYWHERE.get(settings.host, settings.host)
    base = f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"
    async with http.client(connect=2, read=5, transport=httpx2.AsyncHTTPTransport()) as web:
        try:
            return await http.fetch(web, web.build_request("GET", f"{base}{path}"))
        except (httpx2.HTTPError, http.TooLarge):
            return None
