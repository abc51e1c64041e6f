"""`check` and `apply`: the connections file."""

from __future__ import annotations

import asyncio
import getpass
import importlib
import importlib.util
import os
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from services.cli.database import opened
from services.cli.failure import FAILED, Failure, told
from services.cli.output import complain, say
from services.connectors import discover
from services.contracts.app import Ability, Manifest, Trouble
from services.runtime import http
from services.runtime.app import Access, App, Catalog, Sells
from services.runtime.clock import SystemClock
from services.runtime.registry import document, keep, read
from services.runtime.registry.apply import Applied, Changes, NotApplicable, apply
from services.runtime.registry.check import Checked, Config, Problem, check, decoded, rendered
from services.runtime.registry.plans import Known, asked_for
from services.runtime.secrets import SecretsError, vault
from services.runtime.settings import Settings, load
from services.runtime.store import Connection as Database
from services.runtime.store.embedded import EmbeddedPostgresError
from services.runtime.store.migrate import MigrationError, SchemaBehind
from services.sync.keys import seen_keys

_OWN_LINE = re.compile(r"\bmappings:")
_PLAN = re.compile(r"subscribed_to\b")
_SECONDS = 20.0
"""For asking one account for its plans."""
_MOST_CONTACTS = 200_000
_SCANNED = "SELECT scanned_at IS NOT NULL FROM sync.account WHERE account = $1"
# The JSON functions fail for U+0000 anywhere in the text, so those few contacts aren't asked.
_SEEN_PLANS = r"""
SELECT DISTINCT plan
  FROM (SELECT CASE WHEN state::text LIKE '%\\u0000%' THEN NULL ELSE state -> 'subscriptions' END AS subscriptions
          FROM sync.contact WHERE account = $1 LIMIT $2) AS known,
       json_each(subscriptions) AS each (id, record),
       json_array_elements_text(record -> 'subscription' -> 'plans') AS plan
"""
_MOST_BYTES = 4 * document.MAX_CHARACTERS + 1


def manifests() -> Mapping[str, Manifest]:
    """What every known app declares."""
    return {name: app.manifest for name, app in discover().items()}


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store knows that a check wants to know."""

    fields: Mapping[str, AbstractSet[str]] = field(default_factory=dict)
    """Account -> keys of its stored credentials."""
    seen: Mapping[str, AbstractSet[str]] = field(default_factory=dict)
    """Account -> keys of custom fields that its contacts have."""
    plans: Mapping[str, AbstractSet[str]] = field(default_factory=dict)
    """Account -> names of plans in its subscriptions."""
    logins: Mapping[str, tuple[Mapping[str, str], Mapping[str, tuple[str, ...]]]] = field(
        default_factory=dict, repr=False
    )
    """Account -> its stored settings, and its credentials: secrets."""


async def check_file(file: Path, *, offline: bool = False) -> int:
    """Print the file's problems; the exit status says whether it can be applied. `offline`: no app is asked."""
    checked = await checked_file(file, offline=offline)
    if checked.config is None:
        return FAILED
    accounts, connections = len(checked.config.accounts), len(checked.config.connections)
    say(f"{file} can be applied: {_count(accounts, 'account')}, {_count(connections, 'connection')}.")
    return 0


async def apply_file(file: Path, *, offline: bool = False, plan: str | None = None) -> int:
    """Check the file, put it into force, print what that changed. `offline`: no app is asked.

    `plan`: the id of a plan that a person has seen; without one, a file that would do much waits for it (G3).
    """
    checked = await checked_file(file, offline=offline)
    if checked.config is None:
        complain(f"{file} has errors: nothing was changed.")
        return FAILED
    settings = load()
    key = settings.secret_key.get_secret_value() if settings.secret_key else None
    from services.cli import planned  # noqa: PLC0415 - `check` works without sync's core

    async with opened(settings) as store:
        yes = await planned.approved(store, settings, checked.config, str(file), plan)
        if yes is None:
            return FAILED
        sealed = vault(key, settings.data_dir, bundled_store=settings.bundled_store)
        made = await apply(store, sealed, checked.config, by=person(), now=SystemClock().now(), after=yes.after)
    match made:
        case NotApplicable(reasons):
            for reason in reasons:
                complain(reason)
            complain("Nothing was changed.")
            return FAILED
        case Applied():
            _tell(made, str(file))
            return 0


async def checked_file(file: Path, *, offline: bool) -> Checked:
    """Check the file and print its problems. `offline`: no app is asked."""
    text = decoded(_read(file))
    if isinstance(text, Problem):
        checked = Checked(None, (text,))
    else:
        checked, stored = check(text, manifests(), os.environ), Stored()
        if checked.lacking or _OWN_LINE.search(text) or _PLAN.search(text):
            stored = await _known(with_plans=bool(_PLAN.search(text)))
            checked = check(text, manifests(), os.environ, stored.fields, stored.seen)
        if checked.config and asked_for(checked.config.connections):
            plans = await _plans(checked.config, stored, offline=offline)
            checked = check(text, manifests(), os.environ, stored.fields, stored.seen, plans)
    if checked.problems:
        complain(rendered(checked.problems, str(file)))
    for account in sorted(checked.lacking):
        complain(f"`contactsync authorize {account}` stores credentials, so that the file needn't have them.")
    return checked


async def _known(*, with_plans: bool) -> Stored:
    """What is stored that a check wants to know; nothing where no contactsync was set up."""
    settings = load()
    if settings.bundled_store and not settings.data_dir.exists():
        return Stored()
    try:
        async with opened(settings) as store, store.transaction(readonly=True) as database:
            seen: dict[str, AbstractSet[str]] = {}
            for account in await read.accounts(database):
                manifest = manifests().get(account.app)
                if manifest is not None and manifest.custom is not None:
                    keys = await seen_keys(database, account.name, manifest.custom.prefix)
                    seen |= {} if keys is None else {account.name: keys}
            stored = Stored(fields=await keep.fields(database), seen=seen)
            return await _with_plans(database, settings, stored) if with_plans else stored
    except (OSError, Failure, EmbeddedPostgresError, SchemaBehind, MigrationError, asyncpg.PostgresError) as error:
        complain(f"What is stored doesn't count, for it can't be read now ({type(error).__name__}).")
        return Stored()


async def _with_plans(database: Database, settings: Settings, stored: Stored) -> Stored:
    """The same, and what is known of plans and of logins that plans can be asked for with."""
    plans: dict[str, AbstractSet[str]] = {}
    logins: dict[str, tuple[Mapping[str, str], Mapping[str, tuple[str, ...]]]] = {}
    key = settings.secret_key.get_secret_value() if settings.secret_key else None
    for name in stored.fields:
        known = await keep.known(database, name)
        manifest = manifests().get(known.account.app) if known else None
        if known is None or manifest is None or Ability.SUBSCRIPTIONS not in manifest.abilities:
            continue
        if await database.fetchval(_SCANNED, name):
            rows = await database.fetch(_SEEN_PLANS, name, _MOST_CONTACTS)
            plans[name] = frozenset(str(row["plan"]) for row in rows)
        try:
            sealed = vault(key, settings.data_dir, bundled_store=settings.bundled_store)
            opened_ = await read.credentials(database, sealed, name, removed=True)
        except SecretsError as error:
            complain(str(error))
        else:
            logins[name] = (known.account.settings, opened_)
    return Stored(stored.fields, stored.seen, plans, logins)


async def _plans(config: Config, stored: Stored, *, offline: bool) -> Mapping[str, Known]:
    """What is known of the plans of the accounts that are asked for some, by their subscriptions and their apps."""
    wanted, apps = asked_for(config.connections), discover()
    made: dict[str, Known] = {}
    for account in config.accounts:
        if account.name in wanted:
            seller = None if offline else sells(apps[account.app])
            tries = []
            # A stored login is only for where it was stored for: a file can name any address.
            login = stored.logins.get(account.name)
            defaults = {each.key: each.default for each in apps[account.app].manifest.settings if each.default}
            if login and {**defaults, **login[0]} == {**defaults, **account.settings}:
                tries.append(login[1])
            if given := config.credentials.get(account.name):
                tries.append({**(tries[0] if tries else {}), **given})
            catalog = await _catalog(seller, account.name, account.settings, tries) if seller and tries else None
            made[account.name] = Known(stored.plans.get(account.name), catalog)
    return made


def sells(app: App) -> Sells | None:
    """The app's list of plans, if it has one."""
    package = type(app).__module__.rpartition(".")[0]
    if not package or importlib.util.find_spec(f"{package}.plans") is None:
        return None
    found: Sells = importlib.import_module(f"{package}.plans").PLANS
    return found


async def _catalog(
    seller: Sells, account: str, settings: Mapping[str, str], tries: list[Mapping[str, tuple[str, ...]]]
) -> Catalog | None:
    """What the app answers to the first login that it takes; a sentence if none."""
    why = ""
    try:
        async with asyncio.timeout(_SECONDS), http.client() as web:
            for credentials in tries:
                access = Access(
                    account=account, settings=settings, credentials=credentials, http=web, clock=SystemClock()
                )
                answer = await seller.plans(access)
                if not isinstance(answer, Trouble):
                    return answer
                why = answer.detail
    except TimeoutError:
        why = f"No answer came within {_SECONDS:.0f} s."
    except (Exception, ExceptionGroup) as error:  # noqa: BLE001 - a check goes on without what it could have known
        why = " ".join(told(error)[0].splitlines())
    complain(f"The plans of {account} couldn't be listed: rules are checked without them. {why}")
    return None


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
