"""Which contact a person means: by its id or an e-mail address, in the connections that are in force."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.cli.failure import MISUSED, Failure
from services.contracts.connection import Connection
from services.contracts.contact import SIDES, Side
from services.runtime.registry import read
from services.runtime.registry.problem import nearest
from services.runtime.store import Connection as Database
from services.sync.core.identity import normal_address

_BY_ID = "SELECT contact_id FROM sync.contact WHERE account = $1 AND contact_id = $2 AND NOT deleted"
_BY_ADDRESS = """
SELECT a.contact_id FROM sync.contact_address a
  JOIN sync.contact c ON c.account = a.account AND c.contact_id = a.contact_id
 WHERE a.account = $1 AND a.address = $2 AND NOT c.deleted ORDER BY 1
"""
_LIKE = """
(SELECT contact_id AS name FROM sync.contact WHERE account = ANY($1::text[]) AND NOT deleted
    AND lower(left(contact_id, 3)) = lower(left($2, 3)) LIMIT 2000)
UNION ALL
(SELECT address FROM sync.contact_address WHERE account = ANY($1::text[])
    AND left(address, 2) = lower(left($2, 2)) LIMIT 2000)
"""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A contact on one side of a connection."""

    connection: Connection
    side: Side
    contact_id: str

    @property
    def account(self) -> str:
        """The account it is in."""
        return account_of(self.connection, self.side)


def account_of(connection: Connection, side: Side) -> str:
    """The account on that side."""
    return connection.left if side == "left" else connection.right


async def connections(database: Database, name: str | None) -> list[Connection]:
    """The connections in force, or the one of that name. Raises `Failure`."""
    known = [found.connection for found in await read.connections(database)]
    if not known:
        raise Failure("There are no connections yet: `contactsync apply FILE` brings some.")
    if name is None:
        return known
    found = [connection for connection in known if connection.name == name]
    if not found:
        names = [connection.name for connection in known]
        meant = nearest(name, names)
        hint = f"Did you mean {meant}?" if meant else f"There are {', '.join(names)}."
        raise Failure(f"There is no connection {name}. {hint}", MISUSED)
    return found


async def named(database: Database, account: str, word: str) -> list[str]:
    """The ids of the account's contacts that the word names: one by its id, or those that have the address."""
    word = word.replace("\0", "")
    by_id = await database.fetch(_BY_ID, account, word)
    if by_id or not (address := normal_address(word)):
        return [row["contact_id"] for row in by_id]
    return [row["contact_id"] for row in await database.fetch(_BY_ADDRESS, account, address)]


async def places(database: Database, word: str, among: Sequence[Connection]) -> list[Place]:
    """Everywhere a contact stands that the word names."""
    return [
        Place(connection=connection, side=side, contact_id=contact_id)
        for connection in among
        for side in SIDES
        for contact_id in await named(database, account_of(connection, side), word)
    ]


async def unknown(database: Database, word: str, accounts: Sequence[str]) -> Failure:
    """The sentence for a word that names no contact of these accounts."""
    word = word.replace("\0", "")
    alike = [row["name"] for row in await database.fetch(_LIKE, list(accounts), word)]
    meant = nearest(word, alike)
    hint = f"Did you mean {meant}?" if meant else "A contact's id in its app, or its e-mail address, names it."
    return Failure(f"There is no contact {word} in {' or '.join(dict.fromkeys(accounts))}. {hint}")


def several(word: str, found: Sequence[Place]) -> Failure:
    """The sentence for a word that names more than one contact."""
    lines = [f"  {place.contact_id} of {place.account} (connection {place.connection.name})" for place in found]
    if len({(place.account, place.contact_id) for place in found}) == 1:
        return Failure("\n".join([f"{word} is in several connections: add --connection NAME.", *lines]), MISUSED)
    return Failure("\n".join([f"{word} names several contacts: write the id of the one you mean.", *lines]), MISUSED)
