"""What an input may touch: the addresses, links and contacts that its transaction locks before it reads (P0)."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.contracts.contact import SIDES
from services.contracts.envelope import derived
from services.contracts.events import ContactChanged, ContactDeleted, ContactMerged, ContactTouched, SubscriptionChanged
from services.contracts.receipts import Absent, Found, Receipt, Stale, Unchanged, Written
from services.runtime.store import Connection as Database
from services.sync.configs import Configs
from services.sync.core.identity import addresses, link_id
from services.sync.core.slice import ContactKey
from services.sync.core.take import Input, Reconsider, Restored, Sighted

_LINKS_OF = """
SELECT l.id::text, l.connection, l.left_id, l.right_id FROM sync.link l
  JOIN unnest($1::text[], $2::text[]) k (connection, id) ON l.connection = k.connection AND l.left_id = k.id
 WHERE l.status <> 'ended'
UNION
SELECT l.id::text, l.connection, l.left_id, l.right_id FROM sync.link l
  JOIN unnest($3::text[], $4::text[]) k (connection, id) ON l.connection = k.connection AND l.right_id = k.id
 WHERE l.status <> 'ended'
UNION
SELECT id::text, connection, left_id, right_id FROM sync.link WHERE id = ANY($5::uuid[])
"""
_WAITED_FOR = """
SELECT DISTINCT wait_on FROM sync.link WHERE id = ANY($1::uuid[]) AND wait_reason = 'duplicate'
"""
_ADDRESSES_OF = """
SELECT a.address FROM sync.contact_address a
  JOIN unnest($1::text[], $2::text[]) k (account, id) ON a.account = k.account AND a.contact_id = k.id
UNION
SELECT address FROM sync.reservation WHERE link = ANY($3::uuid[])
"""
_HOLDERS = """
SELECT account, contact_id, NULL AS link FROM sync.contact_address WHERE address = ANY($1::text[])
UNION
SELECT NULL, NULL, link::text FROM sync.reservation WHERE address = ANY($1::text[])
"""
_MARKS = """
SELECT DISTINCT c.mark FROM sync.contact c
  JOIN unnest($1::text[], $2::text[]) k (account, id) ON c.account = k.account AND c.contact_id = k.id
 WHERE c.mark IS NOT NULL
"""
# Each end is looked up by an index of its own: with both in one condition, all that were ever merged were read.
_MERGED_INTO = """
WITH RECURSIVE chain (account, id) AS (
    SELECT * FROM unnest($1::text[], $2::text[])
    UNION
    SELECT chain.account, told.id FROM chain CROSS JOIN LATERAL (
        SELECT c.merged_into FROM sync.contact c
         WHERE c.account = chain.account AND c.contact_id = chain.id AND c.merged_into IS NOT NULL
        UNION ALL
        SELECT c.contact_id FROM sync.contact c WHERE c.account = chain.account AND c.merged_into = chain.id
    ) told (id)
)
SELECT account, id FROM chain
"""


@dataclass(kw_only=True)
class Keys:
    """Keys to lock and load."""

    addresses: set[str] = field(default_factory=set)
    links: set[str] = field(default_factory=set)
    contacts: set[ContactKey] = field(default_factory=set)

    def covers(self, other: "Keys") -> bool:
        """Whether all of the other's keys are among these."""
        return other.addresses <= self.addresses and other.links <= self.links and other.contacts <= self.contacts

    def add(self, other: "Keys") -> None:
        """Take the other's keys in."""
        self.addresses |= other.addresses
        self.links |= other.links
        self.contacts |= other.contacts


def named(inputs: Iterable[Input], configs: Configs) -> Keys:
    """Return the keys that the inputs name themselves."""
    keys = Keys()
    for item in inputs:
        match item:
            case ContactChanged() if item.account in configs.manifests:
                keys.contacts.add((item.account, item.contact_id))
                keys.addresses.update(addresses(item.contact, configs.manifests[item.account]))
                keys.links.update(named_by(item.contact.mark))
            case ContactMerged():
                keys.contacts.update(((item.account, item.contact_id), (item.account, item.into)))
            case ContactChanged() | ContactDeleted() | ContactTouched() | SubscriptionChanged() | Sighted():
                keys.contacts.add((item.account, item.contact_id))
            case Receipt():
                keys.links.add(item.aim.link)
                _name_seen(keys, item, configs)
            case Found():
                keys.links.add(item.link)
                keys.contacts.update((item.account, contact_id) for contact_id in item.contact_ids)
            case Absent() | Reconsider() | Restored():
                keys.links.add(item.link)
    # A contact seen for the first time has no row to lock, and perhaps no address: its own name is locked, too.
    keys.addresses.update(f"contact:{account}:{contact_id}" for account, contact_id in keys.contacts)
    return keys


def _name_seen(keys: Keys, receipt: Receipt, configs: Configs) -> None:
    account, outcome = receipt.aim.account, receipt.outcome
    if isinstance(outcome, Written | Unchanged):
        keys.contacts.add((account, outcome.contact_id))
    seen = outcome.seen if isinstance(outcome, Written | Unchanged | Stale) else None
    if seen is not None and account in configs.manifests:
        keys.contacts.add((account, seen.contact_id))
        keys.addresses.update(addresses(seen.contact, configs.manifests[account]))


def named_by(mark: str | None) -> list[str]:
    """Return the link that a contact's mark names, if it names one."""
    found = link_id(mark)
    return [] if found is None else [found]


async def closure(database: Database, seeds: Keys, configs: Configs) -> Keys:
    """Return everything that deciding about the seeds may read or change.

    The seeds' links and their partners, all their addresses, every contact with one of these, its links and their
    partners, whoever reserved one of the addresses, and the links named by marks. Reads without locking.
    """
    keys = Keys(addresses=set(seeds.addresses), links=set(seeds.links), contacts=set(seeds.contacts))
    for account, contact_id in seeds.contacts:
        keys.links.update(born(configs, account, contact_id))
    await _links_of(database, keys, keys.contacts, configs)
    accounts, ids = [key[0] for key in keys.contacts], [key[1] for key in keys.contacts]
    keys.contacts.update((row[0], row[1]) for row in await database.fetch(_MERGED_INTO, accounts, ids))
    near = set(keys.contacts)
    accounts, ids = [key[0] for key in near], [key[1] for key in near]
    keys.addresses.update(row[0] for row in await database.fetch(_ADDRESSES_OF, accounts, ids, list(keys.links)))
    for account, contact_id, link in await database.fetch(_HOLDERS, list(keys.addresses)):
        if link is None:
            keys.contacts.add((account, contact_id))
        else:
            keys.links.add(link)
    accounts, ids = [key[0] for key in keys.contacts], [key[1] for key in keys.contacts]
    for row in await database.fetch(_MARKS, accounts, ids):
        keys.links.update(named_by(row[0]))
    keys.links.update(row[0] for row in await database.fetch(_WAITED_FOR, list(keys.links)))
    await _links_of(database, keys, keys.contacts, configs)
    return keys


def born(configs: Configs, account: str, contact_id: str) -> list[str]:
    """Return the ids of the links that the contact's first sight makes."""
    return [
        derived("link", name, side, contact_id)
        for name, config in configs.connections.items()
        for side in SIDES
        if config.account(side) == account
    ]


async def _links_of(database: Database, keys: Keys, contacts: Iterable[ContactKey], configs: Configs) -> None:
    """Add the contacts' links, and the contacts of all links so far."""
    sought: dict[str, tuple[list[str], list[str]]] = {"left": ([], []), "right": ([], [])}
    for account, contact_id in contacts:
        for name, config in configs.connections.items():
            for side in SIDES:
                if config.account(side) == account:
                    sought[side][0].append(name)
                    sought[side][1].append(contact_id)
    for row in await database.fetch(_LINKS_OF, *sought["left"], *sought["right"], list(keys.links)):
        keys.links.add(row["id"])
        known = configs.connections.get(row["connection"])
        if known is not None:
            halves = ((known.account("left"), row["left_id"]), (known.account("right"), row["right_id"]))
            keys.contacts.update((account, contact_id) for account, contact_id in halves if contact_id is not None)
