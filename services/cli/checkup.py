"""The doctor's look at accounts: what is stored, what the app says of it, and how reading and writing go."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import httpx2
import msgspec

from services.cli.finding import Line, looked, of
from services.cli.login import authorization
from services.cli.output import age
from services.contracts.app import Ability, Manifest
from services.runtime.app import Access, App
from services.runtime.authorize.way import Authorization
from services.runtime.clock import Clock
from services.runtime.registry import read
from services.runtime.secrets import Vault
from services.runtime.store import Record, Store
from services.runtime.tokens import StoreKeeper

_SECONDS = 60.0
"""For one account's calls, all together."""
_TAKEN = frozenset({"received", "ignored", "woken"})
"""What ingest calls deliveries that it took."""
_ACCOUNTS = """
SELECT a.name, a.app, a.settings, now() AS at, c.state, c.last_ok_at, c.trouble_since, c.last_trouble,
    w.revoked_at, w.breaker_open_since, w.reason, EXISTS (
        SELECT FROM registry.connection n
        WHERE n.removed_at IS NULL AND a.name IN (n.body ->> 'left', n.body ->> 'right')
    ) AS connected
FROM registry.account a
LEFT JOIN ingest.cursor c ON c.account = a.name
LEFT JOIN connectors.account w ON w.account = a.name
WHERE a.removed_at IS NULL ORDER BY a.name
"""


_WAITING = """
SELECT a.name FROM registry.account a
WHERE a.removed_at IS NOT NULL AND EXISTS (SELECT FROM registry.credential c WHERE c.account = a.name) ORDER BY a.name
"""


class Surgery(msgspec.Struct, frozen=True):
    """What a check-up works with."""

    store: Store
    vault: Vault
    apps: Mapping[str, App]
    http: httpx2.AsyncClient
    clock: Clock
    deliveries: Mapping[tuple[str, str], int]
    """(account, outcome) -> webhooks since the running contactsync started; empty if none runs here."""


async def accounts(surgery: Surgery) -> Sequence[Line]:
    """Look at every account in force, all at once."""
    rows = await surgery.store.fetch(_ACCOUNTS)
    lines = [
        Line(
            about=row["name"],
            state="doubtful",
            told="it is authorised, and no file names it",
            next_step="Write it into the connections file, then `contactsync apply FILE`.",
        )
        for row in await surgery.store.fetch(_WAITING)
    ]
    if not rows and not lines:
        step = "`contactsync apply FILE` brings some."
        return [Line(about="accounts", state="doubtful", told="there are none yet", next_step=step)]
    keeper = StoreKeeper(surgery.store, surgery.vault)
    try:
        found = await asyncio.gather(*(looked(row["name"], _account(surgery, row, keeper)) for row in rows))
    finally:
        await keeper.aclose()
    return [*(line for each in found for line in each), *lines]


async def _account(surgery: Surgery, row: Record, keeper: StoreKeeper) -> Sequence[Line]:
    name = row["name"]
    if (app := surgery.apps.get(row["app"])) is None:
        step = "Install what brought it, or take the account out of the file."
        return [Line(about=name, state="wrong", told=f"there is no app {row['app']} here", next_step=step)]
    manifest = app.manifest
    async with surgery.store.transaction(readonly=True) as database:
        credentials = await read.credentials(database, surgery.vault, name)
    lacking = [each.key for each in manifest.credentials if each.required and not credentials.get(each.key)]
    if any(key != "webhook_secrets" for key in lacking):
        step = f"`contactsync authorize {name}`."
        return [Line(about=name, state="wrong", told=f"it has no {', '.join(lacking)}", next_step=step)]
    settings = msgspec.json.decode(row["settings"], type=dict[str, str])
    access = Access(
        account=name,
        settings=settings,
        credentials=credentials,
        http=surgery.http,
        clock=surgery.clock,
        keeper=keeper,
    )
    way = authorization(app)
    lines = list(await looked(name, _examined(name, manifest, way, access)))
    if Ability.WEBHOOK in manifest.abilities:
        lines += await looked(name, _hooks(surgery, name, way, access))
    return [*lines, *_running(name, row, manifest.of(settings))]


async def _examined(name: str, manifest: Manifest, way: Authorization, access: Access) -> Sequence[Line]:
    try:
        async with asyncio.timeout(_SECONDS):
            found = await way.examine(access)
    except TimeoutError:
        return [Line(about=name, state="wrong", told=f"{manifest.title} didn't answer within {_SECONDS:.0f} s")]
    if all(each.state == "fine" for each in found.findings):
        good = ", ".join(each.what for each in found.findings)
        return [Line(about=name, state="fine", told=" · ".join(filter(None, [manifest.title, found.who, good])))]
    head = " · ".join(filter(None, [manifest.title, found.who]))
    return [of(name, msgspec.structs.replace(each, what=f"{head} · {each.what}")) for each in found.findings]


async def _hooks(surgery: Surgery, name: str, way: Authorization, access: Access) -> Sequence[Line]:
    path = f"/hooks/{name}"
    lines: list[Line] = []
    if not access.credentials.get("webhook_secrets"):
        told = "it has no webhook secret: no webhook is taken, and changes come by the next poll"
        lines.append(
            Line(about=name, state="doubtful", told=told, next_step=f"`contactsync authorize {name}`, or the file.")
        )
    elif way.hooks is not None:
        async with asyncio.timeout(_SECONDS):
            lines.append(of(name, await way.hooks(access, path)))
    counts = {outcome: n for (account, outcome), n in surgery.deliveries.items() if account == name and n}
    if counts:
        taken = sum(n for outcome, n in counts.items() if outcome in _TAKEN)
        refused = {outcome: n for outcome, n in counts.items() if outcome not in _TAKEN}
        told = f"webhooks since contactsync started: {taken} taken"
        if refused:
            told += f", refused: {', '.join(f'{n} ({outcome})' for outcome, n in sorted(refused.items()))}"
        step = "Is the webhook secret that of this endpoint?" if "signature" in refused else ""
        lines.append(Line(about=name, state="doubtful" if refused else "fine", told=told, next_step=step))
    return lines


def _running(name: str, row: Record, manifest: Manifest) -> Sequence[Line]:
    """How reading and writing go, as contactsync noted it."""
    at: datetime = row["at"]
    if not row["connected"]:
        step = "Remove it from the file, or name it in a connection."
        return [Line(about=name, state="doubtful", told="no connection uses it", next_step=step)]
    lines: list[Line] = []
    if row["revoked_at"]:
        told = f"its credentials were refused {age(at - row['revoked_at'])} ago; it has waited since"
        lines.append(Line(about=name, state="wrong", told=told, next_step=f"`contactsync authorize {name}`."))
    elif row["breaker_open_since"]:
        told = f"it hasn't taken writes for {age(at - row['breaker_open_since'])} ({row['reason'] or 'no reason told'})"
        lines.append(Line(about=name, state="doubtful", told=told, next_step="It is tried again by itself."))
    if row["trouble_since"]:
        told = f"it can't be read since {age(at - row['trouble_since'])}: {row['last_trouble'] or 'no reason told'}"
        lines.append(Line(about=name, state="wrong", told=told, next_step="It is asked again by itself."))
    elif row["state"] is None:
        told = "it was never read"
        lines.append(Line(about=name, state="doubtful", told=told, next_step="`contactsync run` reads it."))
    elif row["last_ok_at"] and manifest.poll_interval > 0:
        span = at - row["last_ok_at"]
        late = span > timedelta(seconds=10 * manifest.poll_interval + 60)
        told = f"{'being read for the first time' if row['state'] == 'scanning' else 'read'}, last {age(span)} ago"
        step = "Is `contactsync run` running, with the role ingest?" if late else ""
        lines.append(Line(about=name, state="doubtful" if late else "fine", told=told, next_step=step))
    return lines
