"""`check` and `apply`: the connections file."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

import asyncpg

from services.cli.database import opened
from services.cli.failure import FAILED, Failure
from services.cli.output import complain, say
from services.connectors import discover
from services.contracts.app import Manifest
from services.runtime.clock import SystemClock
from services.runtime.registry import document, keep, read
from services.runtime.registry.apply import Applied, Changes, NotApplicable, apply
from services.runtime.registry.check import Checked, Problem, check, decoded, rendered
from services.runtime.secrets import vault
from services.runtime.settings import load
from services.runtime.store.embedded import EmbeddedPostgresError
from services.runtime.store.migrate import MigrationError, SchemaBehind
from services.sync.keys import seen_keys

_OWN_LINE = re.compile(r"\bmappings:")
_MOST_BYTES = 4 * document.MAX_CHARACTERS + 1


def manifests() -> Mapping[str, Manifest]:
    """What every known app declares."""
    return {name: app.manifest for name, app in discover().items()}


async def check_file(file: Path) -> int:
    """Print the file's problems; the exit status says whether it can be applied."""
    checked = await _checked(file)
    if checked.config is None:
        return FAILED
    accounts, connections = len(checked.config.accounts), len(checked.config.connections)
    say(f"{file} can be applied: {_count(accounts, 'account')}, {_count(connections, 'connection')}.")
    return 0


async def apply_file(file: Path) -> int:
    """Check the file, put it into force, print what that changed."""
    checked = await _checked(file)
    if checked.config is None:
        complain(f"{file} has errors: nothing was changed.")
        return FAILED
    settings = load()
    key = settings.secret_key.get_secret_value() if settings.secret_key else None
    async with opened(settings) as store:
        sealed = vault(key, settings.data_dir, bundled_store=settings.bundled_store)
        made = await apply(store, sealed, checked.config, by=person(), now=SystemClock().now())
    match made:
        case NotApplicable(reasons):
            for reason in reasons:
                complain(reason)
            complain("Nothing was changed.")
            return FAILED
        case Applied():
            _tell(made, str(file))
            return 0


async def _checked(file: Path) -> Checked:
    text = decoded(_read(file))
    if isinstance(text, Problem):
        checked = Checked(None, (text,))
    else:
        checked = check(text, manifests(), os.environ)
        if checked.lacking or _OWN_LINE.search(text):
            checked = check(text, manifests(), os.environ, *await _known())
    if checked.problems:
        complain(rendered(checked.problems, str(file)))
    for account in sorted(checked.lacking):
        complain(f"`contactsync authorize {account}` stores credentials, so that the file needn't have them.")
    return checked


async def _known() -> tuple[Mapping[str, AbstractSet[str]], Mapping[str, AbstractSet[str]]]:
    """Which credentials are stored, and which custom fields contacts have; nothing where no contactsync was set up."""
    settings = load()
    if settings.bundled_store and not settings.data_dir.exists():
        return {}, {}
    try:
        async with opened(settings) as store, store.transaction(readonly=True) as database:
            seen: dict[str, AbstractSet[str]] = {}
            for account in await read.accounts(database):
                manifest = manifests().get(account.app)
                if manifest is not None and manifest.custom is not None:
                    keys = await seen_keys(database, account.name, manifest.custom.prefix)
                    seen |= {} if keys is None else {account.name: keys}
            return await keep.fields(database), seen
    except (OSError, Failure, EmbeddedPostgresError, SchemaBehind, MigrationError, asyncpg.PostgresError) as error:
        complain(f"What is stored doesn't count, for it can't be read now ({type(error).__name__}).")
        return {}, {}


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened_file:
            return opened_file.read(_MOST_BYTES)
    except OSError as error:
        raise Failure(f"{file} can't be read: {error.strerror}.") from None


def person() -> str:
    """Who runs the command, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        return f"uid {os.getuid()}"


def _tell(made: Applied, name: str) -> None:
    if not made.changed:
        wording = "; its new wording is kept" if made.text else ""
        say(f"{name} is in force already: nothing changed{wording}.")
    else:
        say(f"{name} is in force (version {made.version}).")
        _tell_changes("account", made.accounts)
        _tell_changes("connection", made.connections)
        for what, places in (
            ("stored", made.seeds.stored),
            ("replaced", made.seeds.replaced),
            ("sealed anew, with another key than before: every contactsync needs this one", made.seeds.resealed),
            ("removed", made.seeds.removed),
        ):
            for place in places:
                say(f"  credential {place}: {what}")
    for place in made.seeds.kept:
        say(f"  credential {place}: the stored one is kept; a changed value in the file replaces it")
    for paused in made.paused:
        say(f"  connection {paused} is paused: `contactsync resume {paused}`")


def _tell_changes(kind: str, changes: Changes) -> None:
    for what, names in (
        ("new", changes.new),
        ("changed", changes.changed),
        ("removed", changes.removed),
        ("unchanged", changes.unchanged),
    ):
        for name in names:
            say(f"  {kind} {name}: {what}")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
