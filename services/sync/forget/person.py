"""Who is meant by a word: the contacts, links and addresses of one person."""

from __future__ import annotations

import msgspec

from services.contracts.contact import Contact
from services.runtime.store import Connection as Database
from services.sync.configs import Configs
from services.sync.core.slice import ContactKey
from services.sync.core.state import Record
from services.sync.explain.find import meant

_LINKS = """
SELECT id::text, connection, left_id, right_id, status <> 'ended' AS lives FROM sync.link
 WHERE id = ANY($1::uuid[]) OR alias_of = ANY($1::uuid[])
"""
_LINKS_OF = """
SELECT id::text FROM sync.link WHERE (connection = ANY($1::text[]) AND left_id = $3)
    OR (connection = ANY($2::text[]) AND right_id = $3)
"""
_STATES = """
SELECT c.state FROM sync.contact c JOIN unnest($1::text[], $2::text[]) k (account, id)
    ON c.account = k.account AND c.contact_id = k.id
"""
_SHARING = "SELECT account, contact_id FROM sync.contact_address WHERE address = ANY($1::text[])"

_records = msgspec.json.Decoder(Record)


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is one person's."""

    contacts: frozenset[ContactKey] = frozenset()
    links: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()
    """Normalised."""
    written: frozenset[str] = frozenset()
    """Addresses as the apps write them."""


async def person(database: Database, configs: Configs, word: str) -> Person:
    """Return who is meant: whoever the word names, their partners, and whoever shares an address with one of them.

    Of pairs that were dissolved what is left is theirs, but not the other contact: that is somebody else.
    """
    named = await meant(database, configs, word)
    contacts, links = set(named.contacts), set(named.links)
    addresses: set[str] = set()
    written: set[str] = set()
    while True:
        before = len(contacts), len(links), len(addresses)
        for row in await database.fetch(_LINKS, sorted(links)):
            links.add(row["id"])
            if row["lives"] and (config := configs.connections.get(row["connection"])) is not None:
                sides = (config.connection.left, row["left_id"]), (config.connection.right, row["right_id"])
                contacts |= {(account, contact_id) for account, contact_id in sides if contact_id is not None}
        for account, contact_id in sorted(contacts):
            left = [name for name, each in configs.connections.items() if each.connection.left == account]
            right = [name for name, each in configs.connections.items() if each.connection.right == account]
            links |= {row["id"] for row in await database.fetch(_LINKS_OF, left, right, contact_id)}
        keys = sorted(contacts)
        for row in await database.fetch(_STATES, [key[0] for key in keys], [key[1] for key in keys]):
            record = _records.decode(row["state"])
            addresses |= set(record.addresses)
            written |= set() if record.contact is None else written_in(record.contact)
        sharing = await database.fetch(_SHARING, sorted(addresses))
        contacts |= {(row["account"], row["contact_id"]) for row in sharing}
        if before == (len(contacts), len(links), len(addresses)):
            return Person(
                contacts=frozenset(contacts),
                links=frozenset(links),
                addresses=frozenset(addresses),
                written=frozenset(written),
            )


def written_in(contact: Contact) -> set[str]:
    """Return a contact's e-mail addresses as the app writes them."""
    values = (value for path, values in contact.fields.items() if "email" in path.lower() for value in values)
    return {value for value in values if isinstance(value, str) and value}
