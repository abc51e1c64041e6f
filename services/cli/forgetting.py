"""`forget`: a person is found, shown, and erased (G7)."""

from __future__ import annotations

import getpass
import os
from datetime import datetime
from pathlib import Path
from uuid import UUID

from services.cli.agreed import agreed
from services.cli.contacts import unknown
from services.cli.database import opened
from services.cli.failure import MISUSED, Failure
from services.cli.files import manifests
from services.cli.output import say, visible
from services.connectors import discover
from services.runtime.archive.reading import Archive
from services.runtime.archive.rewriting import rewrite
from services.runtime.log.open import log_of
from services.runtime.log.topics import topics
from services.runtime.settings import Settings, load
from services.runtime.store import Connection as Database
from services.runtime.store import Store
from services.runtime.suppression import alone
from services.sync.configs import read_configs
from services.sync.forget.archives import without
from services.sync.forget.before import Digests, forgotten_as, person_in
from services.sync.forget.erase import Erased, erase
from services.sync.forget.person import Person, person

_ENTRIES = "SELECT id::text, at, asked_by, contacts, lifted_at FROM registry.forgotten ORDER BY at"
_LIFT = """
WITH lifted AS (
    UPDATE registry.forgotten SET lifted_at = clock_timestamp() WHERE id = $1 AND lifted_at IS NULL RETURNING id
), noted AS (
    UPDATE registry.suppression_key SET version = $2 WHERE EXISTS (SELECT FROM lifted)
)
SELECT count(*) FROM lifted
"""
_APPS_KEEP = "The contacts in the apps themselves stay: contactsync never deletes there."


async def forget(word: str | None, *, entries: bool, lift: str | None, archives: tuple[Path, ...], yes: bool) -> int:
    """Forget somebody, list the entries, or lift one; 0 if that was done."""
    if sum((word is not None, entries, lift is not None)) != 1:
        raise Failure("Say whom: `contactsync forget CONTACT`; or --list, or --lift ID.", MISUSED)
    settings = load()
    async with opened(settings) as store:
        if entries:
            return await _list(store)
        if lift is not None:
            return await _lift(store, lift)
        return await _forget(store, word or "", archives, yes=yes, settings=settings)


async def _forget(store: Store, word: str, archives: tuple[Path, ...], *, yes: bool, settings: Settings) -> int:
    for path in archives:
        Archive(path)  # one that can't be read is told of before anything is erased
    async with store.transaction("repeatable_read", readonly=True) as database:
        accounts = sorted((await read_configs(database, manifests())).manifests)
        if archives and (earlier := await forgotten_as(database, word, accounts)) is not None:
            return _archives_again(archives, earlier)
        shown = await _person(database, word)
    for account, contact_id in sorted(shown.contacts):
        say(f"{visible(account)}/{visible(contact_id)}")
    say(f"{len(shown.contacts)} contacts, {len(shown.links)} links, {len(shown.addresses)} addresses. {_APPS_KEEP}")
    if not agreed("Erase them from contactsync, for good?", yes=yes):
        return 1

    async def work(database: Database) -> tuple[Erased, Person]:
        await alone(database)
        found = await _person(database, word)
        if not found.contacts <= shown.contacts:
            raise Failure("More contacts are meant than were shown: they changed just now. Ask again.")
        return await erase(database, found, _who()), found

    done, found = await store.retrying(work)
    for path in archives:
        say(f"{path}: {rewrite(path, without(found))} lines were rewritten.")
    say(
        f"Forgotten: {done.contacts} contacts, {done.links} links; {done.messages} messages of the log were emptied. "
        f"Entry {done.entry} keeps them away; `contactsync forget --lift {done.entry}` ends that."
    )
    if settings.log_url.startswith("kafka:"):
        say(await _kafka(store, settings))
    say("Backups and the database's write-ahead log keep what they hold until they are replaced.")
    return 0


def _archives_again(archives: tuple[Path, ...], earlier: Digests) -> int:
    """Erase a person from archives who was forgotten before: by the digests that stayed."""
    for path in archives:
        who = person_in(Archive(path), earlier)
        say(f"{path}: {rewrite(path, without(who))} lines were rewritten.")
    say("They were forgotten before: what the archives still held of them is erased.")
    return 0


async def _kafka(store: Store, settings: Settings) -> str:
    """Until when Kafka holds messages about them, as its topics' own settings say."""
    from services.runtime.log.kafka import KafkaLog  # noqa: PLC0415 - who has the embedded log has no Kafka client

    async with log_of(settings, store) as log:
        if not isinstance(log, KafkaLog):
            raise TypeError("a log at kafka:// is Kafka's")
        kept = await log.retention(topics(discover()))
    if any(age is None for age in kept.values()):
        name = next(name for name, age in kept.items() if age is None)
        return f"Kafka keeps the topic {name} for ever (retention.ms is -1): set an end to it."
    now: datetime = await store.fetchval("SELECT clock_timestamp()")
    last = now + max(age for age in kept.values() if age is not None)
    return f"The last message about them in Kafka expires on {last:%Y-%m-%d %H:%M} UTC: its topics' own retention."


async def _person(database: Database, word: str) -> Person:
    configs = await read_configs(database, manifests())
    found = await person(database, configs, word)
    if not found.contacts and not found.links:
        raise await unknown(database, word, sorted(configs.manifests))
    return found


async def _list(store: Store) -> int:
    rows = await store.fetch(_ENTRIES)
    for row in rows:
        lifted = f", lifted {row['lifted_at']:%Y-%m-%d %H:%M}" if row["lifted_at"] else ""
        say(f"{row['id']}  {row['at']:%Y-%m-%d %H:%M}  {visible(row['asked_by'])}  {row['contacts']} contacts{lifted}")
    if not rows:
        say("Nobody was forgotten.")
    return 0


async def _lift(store: Store, text: str) -> int:
    try:
        entry = UUID(text)
    except ValueError:
        raise Failure("An entry's id is what `contactsync forget --list` shows first in its line.", MISUSED) from None
    if not await store.fetchval(_LIFT, entry, int.from_bytes(os.urandom(7))):
        raise Failure("No entry has this id, or it was lifted before. `contactsync forget --list` shows all.")
    say("Lifted: they are taken in again from their next change, or from the next scan, on.")
    return 0


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
