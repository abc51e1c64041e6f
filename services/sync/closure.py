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

_CLOSURE = """
SELECT k_accounts, k_ids, k_links::text[], k_addresses
  FROM sync.closure($1::text[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[])
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
    links = set(seeds.links)
    for account, contact_id in seeds.contacts:
        links.update(born(configs, account, contact_id))
    there = configs.connections
    row = await database.fetchrow(
        _CLOSURE,
        [key[0] for key in seeds.contacts],
        [key[1] for key in seeds.contacts],
        list(links),
        list(seeds.addresses),
        list(there),
        [config.account("left") for config in there.values()],
        [config.account("right") for config in there.values()],
    )
    if row is None:
        raise AssertionError("a function gives a row")
    accounts, ids, found, known = row
    return Keys(addresses=set(known), links=set(found), contacts=set(zip(accounts, ids, strict=True)))


def born(configs: Configs, account: str, contact_id: str) -> list[str]:
    """Return the ids of the links that the contact's first sight makes."""
    return [
        derived("link", name, side, contact_id)
        for name, config in configs.connections.items()
        for side in SIDES
        if config.account(side) == account
    ]
