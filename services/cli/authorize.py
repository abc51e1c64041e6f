"""`authorize`: logging in to an account, checked by real calls, and kept sealed."""

from __future__ import annotations

import re
from collections.abc import Mapping

import httpx2
import msgspec

from services.cli import ask
from services.cli.browser import logged_in
from services.cli.database import opened
from services.cli.failure import FAILED, MISUSED, Failure
from services.cli.files import person
from services.cli.finding import MARKS
from services.cli.login import authorization
from services.cli.output import complain, say
from services.connectors import discover
from services.contracts.app import Manifest, Trouble
from services.contracts.connection import Account
from services.runtime import http
from services.runtime.app import Access
from services.runtime.authorize import exchange
from services.runtime.authorize.way import Authorization, Examined
from services.runtime.clock import SystemClock
from services.runtime.registry import keep, read
from services.runtime.registry.problem import nearest
from services.runtime.secrets import SecretsError, Vault, vault
from services.runtime.settings import Settings, load
from services.runtime.tokens import Grant, Keeper, MemoryKeeper, StoreKeeper

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_OAUTH = ("client_id", "client_secret", "refresh_token")

Credentials = dict[str, tuple[str, ...]]


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the command was called with."""

    account: str
    app: str = ""
    client_id: str = ""
    settings: tuple[str, ...] = ()
    browser: bool = True
    port: int = 0
    redirect: str = ""


async def authorize(wish: Wish) -> int:
    """Log in, check it, store it. The store isn't held while a person is at the browser."""
    if not _NAME.fullmatch(wish.account):
        raise Failure(
            f"{wish.account!r} can't be an account's name: that is up to 40 lower-case letters, digits and dashes.",
            MISUSED,
        )
    settings = load()
    known, before = await _stored(settings, wish.account)
    manifest, way = _app(wish, known)
    chosen = _settings(wish, manifest, way, known)
    async with http.client(reach=settings.reach) as web:
        credentials, told = await _credentials(wish, manifest, way, chosen, before, web)
        chosen = _with_told(wish, manifest, chosen, told)
        account = Account(name=wish.account, app=manifest.name, settings=chosen)
        keeper = MemoryKeeper()
        access = Access(
            account=wish.account,
            settings=chosen,
            credentials={**before, **credentials},
            http=web,
            clock=SystemClock(),
            keeper=keeper,
        )
        found = await way.examine(access)
        # What took a refresh token's place while it was tried has to be kept, also for the one that was stored.
        token = {**before, **credentials}.get("refresh_token", ("",))[0]
        if (newest := await _newest(wish.account, token, keeper)) != token:
            credentials["refresh_token"] = (newest,)
    _tell(account, manifest, found)
    if found.wrong:
        complain("Nothing was stored.")
        return FAILED
    sealed = _vault(settings)
    async with opened(settings) as store, store.transaction() as database:
        again = await keep.known(database, wish.account)
        if again and again.account.app != manifest.name:
            raise Failure(f"Meanwhile {wish.account} became an account of {again.account.app}. Nothing was stored.")
        await keep.keep(database, sealed, account, credentials, by=person(), now=SystemClock().now())
    keys = [key for key in credentials if key not in ("client_id", "client_secret")] or list(credentials)
    say(f"Stored, encrypted: {', '.join(keys)} of {wish.account}.")
    if known is None or not known.in_force:
        _next(account, manifest, {*before, *credentials})
    return 0


async def _newest(account: str, token: str, keeper: Keeper) -> str:
    """The refresh token that took the place of `token`, if the keeper knows of one, else `token`."""

    async def nothing(_: str) -> Grant | Trouble:
        return Trouble(key="unused", detail="It wasn't exchanged.")

    held = await keeper.grant(account, token, lambda _: True, nothing) if token else None
    return held.refresh if isinstance(held, Grant) else token


def _vault(settings: Settings) -> Vault:
    key = settings.secret_key.get_secret_value() if settings.secret_key else None
    return vault(key, settings.data_dir, bundled_store=settings.bundled_store)


async def _stored(settings: Settings, name: str) -> tuple[keep.Known | None, Credentials]:
    """The account as the registry has it, and its credentials; those that can't be opened count as absent."""
    sealed = _vault(settings)
    async with opened(settings) as store:
        async with store.transaction(readonly=True) as database:
            known = await keep.known(database, name)
            try:
                before = await read.credentials(database, sealed, name, removed=True)
            except SecretsError as error:
                complain(str(error))
                return known, {}
        if token := next(iter(before.get("refresh_token", ())), ""):
            before["refresh_token"] = (await _newest(name, token, StoreKeeper(store, sealed)),)
        return known, before


def _app(wish: Wish, known: keep.Known | None) -> tuple[Manifest, Authorization]:
    apps = discover()
    if known and wish.app and wish.app != known.account.app:
        raise Failure(f"{wish.account} is an account of {known.account.app}. Give the new account another name.")
    name = known.account.app if known else wish.app
    if not name:
        raise Failure(
            f"No file names {wish.account} yet: say which app it is, --app {' or --app '.join(apps)}.", MISUSED
        )
    if name not in apps:
        meant = nearest(name, list(apps))
        raise Failure(
            f"There is no app {name}. " + (f"Did you mean {meant}?" if meant else f"There are {', '.join(apps)}."),
            MISUSED,
        )
    return apps[name].manifest, authorization(apps[name])


def _settings(wish: Wish, manifest: Manifest, way: Authorization, known: keep.Known | None) -> dict[str, str]:
    """The file's settings for an account that it names, else those given and asked for."""
    if known and known.in_force:
        if wish.settings:
            raise Failure(f"The settings of {wish.account} are in the connections file: change them there.", MISUSED)
        return {**_defaults(manifest), **known.account.settings}
    chosen = {**_defaults(manifest), **(known.account.settings if known else {})}
    declared = {setting.key: setting for setting in manifest.settings}
    for text in wish.settings:
        key, _, value = text.partition("=")
        if key not in declared:
            raise Failure(f"{manifest.title} has no setting {key}. It has {', '.join(declared)}.", MISUSED)
        chosen[key] = value
    for setting in manifest.settings:
        told = way.oauth is not None and setting.key in way.oauth.tells.values()
        if setting.required and not told and not chosen.get(setting.key):
            title = f"{setting.title}{f', such as {setting.example}' if setting.example else ''}"
            chosen[setting.key] = ask.asked(wish.account, setting.key, title, secret=False)
        value = chosen.get(setting.key, "")
        if value and setting.pattern and not re.fullmatch(setting.pattern, value):
            raise Failure(f"{setting.key} isn't what it should be ({setting.title}). Example: {setting.example}.")
    return chosen


def _with_told(wish: Wish, manifest: Manifest, chosen: dict[str, str], told: Mapping[str, str]) -> dict[str, str]:
    """The settings with what the login said of them. Raises `Failure` where it was for something else."""
    for setting in manifest.settings:
        value = told.get(setting.key, "")
        if value and not re.fullmatch(setting.pattern or ".*", value):
            raise Failure(f"Nothing was stored: the login told a {setting.key} that can't be one.")
        if value and chosen.get(setting.key, value) != value:
            raise Failure(
                f"Nothing was stored: the login was for {setting.key} {value}, and {wish.account} is "
                f"{chosen[setting.key]}. Log in to that one, or give the other an account name of its own."
            )
        if setting.required and not value and not chosen.get(setting.key):
            raise Failure(f"Nothing was stored: the login didn't tell {setting.key}. Give it with --set.")
    return {**chosen, **told}


def _defaults(manifest: Manifest) -> dict[str, str]:
    return {setting.key: setting.default for setting in manifest.settings if setting.default}


async def _credentials(
    wish: Wish,
    manifest: Manifest,
    way: Authorization,
    settings: Mapping[str, str],
    before: Credentials,
    web: httpx2.AsyncClient,
) -> tuple[Credentials, dict[str, str]]:
    """What the person gives or the login grants, and the settings that the login tells."""
    if way.hint:
        complain(way.hint)
    declared = {credential.key: credential for credential in manifest.credentials}
    if way.oauth is not None:
        stored = {key: next(iter(before.get(key, ())), "") for key in _OAUTH}
        client_id = wish.client_id or ask.given(wish.account, "client_id") or stored["client_id"]
        client_id = client_id or ask.asked(wish.account, "client_id", declared["client_id"].title, secret=False)
        # The secret of another client is of no use.
        kept = stored["client_secret"] if client_id == stored["client_id"] else ""
        secret = ask.given(wish.account, "client_secret") or kept
        secret = secret or ask.asked(wish.account, "client_secret", declared["client_secret"].title, secret=True)
        client = exchange.Client(client_id, secret)
        tokens, told = await logged_in(
            way.oauth, settings, client, web, browser=wish.browser, port=wish.port, redirect=wish.redirect
        )
        granted: Credentials = {
            "client_id": (client_id,),
            "client_secret": (secret,),
            "refresh_token": (tokens.refresh_token,),
        }
        return granted, told
    if wish.client_id:
        raise Failure(f"--client-id is for apps with an OAuth login, and {manifest.title} has none.", MISUSED)
    found: Credentials = {}
    for credential in manifest.credentials:
        optional = ""
        if before.get(credential.key):
            optional = "the stored one stays"
        elif not credential.required or credential.many:
            optional = "none yet"
        text = ask.asked(wish.account, credential.key, credential.title, secret=True, optional=optional)
        values = tuple(dict.fromkeys(text.split())) if credential.many else (text,)
        if not text:
            continue
        if credential.pattern and not all(re.fullmatch(credential.pattern, value) for value in values):
            raise Failure(
                f"{credential.key} doesn't look like one of {manifest.title}'s ({credential.title}). Copy it again; "
                f"it has the form {credential.pattern}."
            )
        found[credential.key] = values
    if not found:
        raise Failure("Nothing was given, so nothing was stored.")
    return found, {}


def _tell(account: Account, manifest: Manifest, found: Examined) -> None:
    say(f"{account.name} ({manifest.title}){f': {found.who}' if found.who else ''}")
    for each in found.findings:
        said = f": {each.told}" if each.told else ""
        say(f"  {MARKS[each.state]} {each.what}{said}")
        if each.next_step:
            say(f"      → {each.next_step}")


def _next(account: Account, manifest: Manifest, keys: set[str]) -> None:
    defaults = _defaults(manifest)
    parts = [f"app: {account.app}"]
    parts += [f"{key}: {_plain(value)}" for key, value in account.settings.items() if defaults.get(key) != value]
    parts += [
        f"{credential.key}: ${{{ask.variable(account.name, credential.key)}}}"
        for credential in manifest.credentials
        if credential.required and credential.key not in keys
    ]
    say("In the connections file it needs no more than this, under `accounts:`:")
    say(f"  {account.name}: {{{', '.join(parts)}}}")


def _plain(value: str) -> str:
    """The value as YAML's flow style takes it."""
    return value if re.fullmatch(r"[A-Za-z0-9_./@-]+", value) else msgspec.json.encode(value).decode()
