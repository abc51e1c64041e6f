"""Which links a person means: by a link's id, by account and contact id, by a contact's id or an e-mail address."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from services.contracts.contact import SIDES
from services.contracts.envelope import derived
from services.runtime.store import Connection as Database
from services.sync.configs import Configs
from services.sync.core.identity import normal_address
from services.sync.core.slice import ContactKey

_LINKS = "SELECT id::text, connection, status, alias_of::text FROM sync.link WHERE id = ANY($1::uuid[]) ORDER BY seq"
_OF_CONTACT = """
SELECT id::text, seq FROM sync.link WHERE connection = ANY($1::text[]) AND left_id = $3 AND status <> 'ended'
UNION
SELECT id::text, seq FROM sync.link WHERE connection = ANY($2::text[]) AND right_id = $3 AND status <> 'ended'
 ORDER BY seq
"""
_BY_ID = "SELECT account, contact_id FROM sync.contact WHERE contact_id = $1 AND account = ANY($2::text[]) ORDER BY 1"
_BY_ADDRESS = """
SELECT account, contact_id FROM sync.contact_address WHERE address = $1 AND account = ANY($2::text[]) ORDER BY 1, 2
"""
_DEPTH = 16
"""Links that became part of one another, in a row."""


class Meant(msgspec.Struct, frozen=True, kw_only=True):
    """What a word names."""

    contacts: tuple[ContactKey, ...]
    """Contacts with that name, whether they have links or not."""
    links: tuple[str, ...]
    """Their links, or the one that was named: connection by connection, in the order of sight."""


async def meant(database: Database, configs: Configs, word: str, connection: str | None = None) -> Meant:
    """Return what the word names, in one connection if it is named; nothing is an answer, too."""
    word = word.strip().replace("\0", "")
    if (named := _uuid(word)) is not None:
        link = await _survivor(database, named)
        if link is not None and link[1] in (connection or link[1], None):
            return Meant(contacts=(), links=(link[0],))
    contacts = await _contacts(database, configs, word)
    links: list[tuple[str, str]] = []
    for account, contact_id in contacts:
        for name in sorted(configs.connections):
            if connection in (None, name):
                links += [(name, link) for link in await links_of(database, configs, name, account, contact_id)]
    found = tuple(dict.fromkeys(link for _, link in sorted(links, key=lambda each: each[0])))
    return Meant(contacts=tuple(contacts), links=found)


async def _contacts(database: Database, configs: Configs, word: str) -> list[ContactKey]:
    accounts = sorted(configs.manifests)
    account, slash, contact_id = word.partition("/")
    if slash and account in configs.manifests:
        rows = await database.fetch(_BY_ID, contact_id, [account])
        if rows:
            return [(row[0], row[1]) for row in rows]
    rows = await database.fetch(_BY_ID, word, accounts)
    if not rows and (address := normal_address(word)):
        rows = await database.fetch(_BY_ADDRESS, address, accounts)
    return [(row[0], row[1]) for row in rows]


async def links_of(
    database: Database, configs: Configs, connection: str, account: str, contact_id: str
) -> Sequence[str]:
    """Return a contact's links in a connection; where all have ended, the one that began with it."""
    config = configs.connections[connection]
    sides = [side for side in SIDES if config.account(side) == account]
    on = {side: [connection] if side in sides else [] for side in SIDES}
    rows = await database.fetch(_OF_CONTACT, on["left"], on["right"], contact_id)
    if rows:
        return [row["id"] for row in rows]
    born = [UUID(derived("link", connection, side, contact_id)) for side in sides]
    survivors = [await _survivor(database, each) for each in born]
    return [each[0] for each in survivors if each is not None]


async def earlier(database: Database, configs: Configs, connection: str, link: str, ids: Sequence[str]) -> list[str]:
    """Return the links that contacts of these ids began with in the connection and that are part of this one now."""
    if connection not in configs.connections:
        return []
    born = {UUID(derived("link", connection, side, each)) for each in ids for side in SIDES}
    found = []
    for row in await database.fetch(_LINKS, list(born)):
        survivor = await _survivor(database, UUID(row["id"]))
        if row["id"] != link and survivor is not None and survivor[0] == link:
            found.append(row["id"])
    return found


async def _survivor(database: Database, link: UUID) -> tuple[str, str] | None:
    """Return the link, or the one it became part of, and its connection."""
    at: UUID | None = link
    last: tuple[str, str] | None = None
    for _ in range(_DEPTH):
        row = await database.fetchrow(_LINKS, [at])
        if row is None:
            break
        last = row["id"], row["connection"]
        at = None if row["alias_of"] is None else UUID(row["alias_of"])
        if at is None:
            break
    return last


def _uuid(word: str) -> UUID | None:
    try:
        return UUID(word)
    except ValueError:
        return None
