"""`duplicates`: contacts that take no part because another one has their address."""

from __future__ import annotations

import msgspec

from services.cli.contacts import connections
from services.cli.database import opened
from services.cli.output import age, say, table
from services.runtime.settings import load
from services.sync.hand.duplicates import Duplicate
from services.sync.hand.duplicates import duplicates as listed


async def duplicates(connection: str | None, *, as_json: bool) -> int:
    """List them, with who is in their way and what ends it."""
    async with opened(load()) as store, store.transaction("repeatable_read", readonly=True) as database:
        if connection is not None:
            await connections(database, connection)
        now = await database.fetchval("SELECT now()")
        found = await listed(database, connection)
    if as_json:
        say(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return 0
    if not found:
        say("There are no duplicates.")
        return 0
    rows = [
        (
            each.connection,
            f"{each.contact.contact_id} of {each.contact.account}",
            _why(each),
            age(now - each.since),
            each.ends,
        )
        for each in found
    ]
    table(("connection", "duplicate", "because", "for", "what ends it"), rows)
    return 0


def _why(duplicate: Duplicate) -> str:
    by = "a contact that is gone" if duplicate.blocker is None else duplicate.blocker.contact_id
    with_whom = f", linked with {duplicate.partner.contact_id}" if duplicate.partner else ""
    match duplicate.kind:
        case "merged":
            return f"its partner was merged into {by}{with_whom}"
        case "taken":
            return f"{by}{with_whom}, has its address {duplicate.address}".rstrip()
        case "shares":
            return f"{by}{with_whom}, came first with {duplicate.address or 'its address'}"
