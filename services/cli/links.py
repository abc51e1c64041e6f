"""`link` and `unlink`: a person's word about who belongs to whom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from services.cli.contacts import Place, account_of, connections, named, places, several, unknown
from services.cli.database import opened
from services.cli.failure import MISUSED, Failure
from services.cli.files import manifests
from services.cli.output import say
from services.contracts.connection import Connection
from services.runtime.settings import load
from services.runtime.store import Connection as Database
from services.sync.core.hand import Linked, Not, Unlinked
from services.sync.hand import links

T = TypeVar("T", Linked, Unlinked)
_PATIENCE = 10.0
"""Seconds in which a write under way usually gets its answer."""
_PAUSE = 0.25
_PAIRS = """
SELECT id::text, connection, left_id, right_id FROM sync.link
 WHERE status <> 'ended' AND left_id IS NOT NULL AND right_id IS NOT NULL AND connection = $1
   AND (($2 = 'left' AND left_id = $3) OR ($2 = 'right' AND right_id = $3))
"""
_BY_LINK = """
SELECT id::text, connection, left_id, right_id FROM sync.link
 WHERE id = $1 AND status <> 'ended' AND left_id IS NOT NULL AND right_id IS NOT NULL
"""
_STANDS = "SELECT status, wait_reason FROM sync.link WHERE id = $1::uuid"


async def link(left: str, right: str, connection: str | None) -> int:
    """Pair a contact of the left account with one of the right."""
    async with opened(load()) as store:
        async with store.transaction(readonly=True) as database:
            pair, left_id, right_id = await _chosen(database, left, right, connection)
        said = await _patiently(lambda: links.link(store, manifests(), pair, left_id, right_id))
        stands = await store.fetchrow(_STANDS, said.link)
    one, two = f"{left_id} of {pair.left}", f"{right_id} of {pair.right}"
    if said.already:
        say(f"{one} and {two} are linked already, in {pair.name}.")
        return 0
    say(f"Linked in {pair.name}: {one} with {two}.")
    for side, contact_id in said.left_alone:
        say(f"  {contact_id} of {account_of(pair, side)} was linked with one of them, and isn't any more.")
    if stands is not None and stands["wait_reason"] == "paused":
        say(f"  {pair.name} is paused: their values are brought in step after `contactsync resume {pair.name}`.")
    elif stands is not None and stands["status"] == "outside":
        say("  No rule takes them into the sync now: nothing is written until one does.")
    return 0


async def unlink(contact: str, connection: str | None) -> int:
    """Dissolve the pair of a contact, named by its id, an address or its link's id."""
    async with opened(load()) as store:
        async with store.transaction(readonly=True) as database:
            pair, link_id = await _pair_of(database, contact, connection)
        said = await _patiently(lambda: links.unlink(store, manifests(), pair, link_id))
    say(f"Unlinked in {pair.name}: {said.left} of {pair.left} and {said.right} of {pair.right}.")
    say("  Both stay as they are, and aren't matched with each other again.")
    say(f"  `contactsync link {said.left} {said.right} --connection {pair.name}` takes that back.")
    return 0


async def _chosen(database: Database, left: str, right: str, name: str | None) -> tuple[Connection, str, str]:
    among = await connections(database, name)
    fits: list[tuple[Connection, list[str], list[str]]] = []
    for pair in among:
        ids = await named(database, pair.left, left), await named(database, pair.right, right)
        if all(ids):
            fits.append((pair, *ids))
    if not fits:
        raise await _misfit(database, left, right, among)
    if len(fits) > 1:
        names = ", ".join(pair.name for pair, _, _ in fits)
        raise Failure(f"Both are in several connections ({names}): add --connection NAME.", MISUSED)
    ((pair, lefts, rights),) = fits
    if len(lefts) > 1:
        raise several(left, [Place(connection=pair, side="left", contact_id=each) for each in lefts])
    if len(rights) > 1:
        raise several(right, [Place(connection=pair, side="right", contact_id=each) for each in rights])
    return pair, lefts[0], rights[0]


async def _misfit(database: Database, left: str, right: str, among: list[Connection]) -> Failure:
    """Why no connection has the one on its left and the other on its right."""
    for pair in among:
        if await named(database, pair.left, right) and await named(database, pair.right, left):
            return Failure(
                f"{left} is on the right side of {pair.name}, {right} on the left. Write `contactsync link {right} "
                f"{left}`.",
                MISUSED,
            )
    for word, accounts in ((left, [pair.left for pair in among]), (right, [pair.right for pair in among])):
        if not [id for account in accounts for id in await named(database, account, word)]:
            return await unknown(database, word, accounts)
    return Failure("No connection has both: each is in another pair of accounts.")


async def _pair_of(database: Database, word: str, name: str | None) -> tuple[Connection, str]:
    among = await connections(database, name)
    if (id := _uuid(word)) is not None:
        row = await database.fetchrow(_BY_LINK, id)
        pair = next((pair for pair in among if row is not None and pair.name == row["connection"]), None)
        if row is None or pair is None:
            raise Failure(f"No pair has the link {word}.")
        return pair, row["id"]
    found = await places(database, word, among)
    if not found:
        raise await unknown(database, word, [account for pair in among for account in (pair.left, pair.right)])
    pairs: dict[str, Place] = {}
    for place in found:
        for row in await database.fetch(_PAIRS, place.connection.name, place.side, place.contact_id):
            pairs.setdefault(row["id"], place)
    if not pairs:
        raise Failure(f"{word} isn't linked with any contact{f' in {name}' if name else ''}: there is nothing to do.")
    if len(pairs) > 1:
        raise several(word, list(pairs.values()))
    ((link_id, place),) = pairs.items()
    return place.connection, link_id


async def _patiently(ask: Callable[[], Awaitable[T | Not]]) -> T:
    """Ask until it is done, for some seconds; then say why it can't be."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE
    while isinstance(said := await ask(), Not):
        if not said.passing or asyncio.get_running_loop().time() > deadline:
            raise Failure(_told(said))
        await asyncio.sleep(_PAUSE)
    return said


def _told(no: Not) -> str:
    match no.why:
        case "writing":
            return "A write to one of them is under way: try again in a moment. `contactsync status` shows what waits."
        case "reading":
            return f"{no.contact_id} is being read at this moment: try again when that is answered."
        case "creating":
            return f"A contact with the address of {no.contact_id} is being created: try again when that is answered."
        case "gone":
            return f"{no.contact_id} isn't there any more."
        case "alone":
            return f"{no.contact_id} was deleted: its pair is over, and there is nothing to unlink."
        case "catching up":
            return "The log is being read again after a restore: try again when `contactsync status` is quiet."
        case "apart":
            return "They aren't linked any more: somebody was faster."


def _uuid(word: str) -> UUID | None:
    try:
        return UUID(word)
    except ValueError:
        return None
