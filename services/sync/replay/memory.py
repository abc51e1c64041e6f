"""All that sync knows, in memory: as the bytes that the store has, with the indexes that closures need beside them."""

from collections import defaultdict
from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from services.contracts.contact import SIDES, Side
from services.sync.core.slice import ContactKey
from services.sync.core.state import Link, Record, Window
from services.sync.replay.inputs import Given, Known, Linked, Opened, Reserved, Row, Scanned

Pair = tuple[str, str | None, str | None]
"""A link's connection, left contact and right contact."""

_links = msgspec.json.Decoder(Link)
_records = msgspec.json.Decoder(Record)


class Memory:
    """Sync's state, apart from what only the machinery needs: progress, inbox, outbox, wakes."""

    def __init__(self) -> None:
        self._records: dict[ContactKey, bytes] = {}
        self._objects: dict[ContactKey, bytes] = {}
        self._marks: dict[ContactKey, str] = {}
        self._sharing: dict[str, frozenset[ContactKey]] = {}
        """Address -> the contacts that have or had it."""
        self._addresses: dict[ContactKey, tuple[str, ...]] = {}
        self._into: dict[ContactKey, ContactKey] = {}
        """Contact -> the one that it was merged into."""
        self._absorbed: defaultdict[ContactKey, set[ContactKey]] = defaultdict(set)
        self._links: dict[str, bytes] = {}
        self._seqs: dict[str, int] = {}
        self._pairs: dict[str, Pair] = {}
        self._halves: dict[tuple[str, Side, str], str] = {}
        """(connection, side, contact) -> its link that hasn't ended."""
        self._blockers: dict[str, str] = {}
        """Duplicate -> what it waits for."""
        self._active: dict[str, set[str]] = {}
        """Connection -> links that are active."""
        self._reservations: dict[str, dict[str, str]] = {}
        """Address -> account -> the link that holds it."""
        self._held: defaultdict[str, set[ContactKey]] = defaultdict(set)
        """Link -> (account, address) that it holds."""
        self._windows: dict[str, dict[int, Window]] = {}
        self.scanned: set[str] = set()
        """Accounts whose first scan has passed."""
        self._last = 0

    # What is in it ----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many contacts it knows."""
        return len(self._records)

    def record(self, account: str, contact_id: str) -> Record | None:
        """Return what is known of a contact."""
        found = self._records.get((account, contact_id))
        return None if found is None else _records.decode(found)

    def link(self, link_id: str) -> Link | None:
        """Return a link."""
        found = self._links.get(link_id)
        return None if found is None else replace(_links.decode(found), seq=self._seqs[link_id])

    def links(self) -> Iterator[Link]:
        """Return all links, by id."""
        for link_id in sorted(self._links):
            yield replace(_links.decode(self._links[link_id]), seq=self._seqs[link_id])

    def rows(self) -> Iterator[Row]:
        """Return everything, in an order that depends on nothing but the content."""
        for account in sorted(self.scanned):
            yield Scanned(account=account)
        for key in sorted(self._records):
            yield Known(record=_records.decode(self._records[key]), object=self._objects[key].decode())
        for link in self.links():
            yield Linked(link=link)
        for address in sorted(self._reservations):
            for account, link_id in sorted(self._reservations[address].items()):
                yield Reserved(account=account, address=address, link=link_id)
        for name in sorted(self._windows):
            for opened in sorted(self._windows[name]):
                yield Opened(window=self._windows[name][opened])

    def same(self, row: Row) -> bool:
        """Whether exactly this is known here, too."""
        match row:
            case Known(record=record):
                key = (record.account, record.contact_id)
                known = self._records.get(key) == msgspec.json.encode(record)
                return known and self._objects.get(key) == row.object.encode()
            case Linked(link=link):
                return self._links.get(link.id) == msgspec.json.encode(replace(link, seq=None))
            case Reserved():
                return self._reservations.get(row.address, {}).get(row.account) == row.link
            case Opened(window=window):
                return self._windows.get(window.connection, {}).get(window.opened) == window
            case Scanned():
                return row.account in self.scanned

    def put(self, row: Row) -> None:
        """Take in one thing that is known; what was known of the same before is replaced."""
        match row:
            case Known():
                self._put_record(row.record, row.object.encode())
            case Linked():
                self._put_link(row.link)
            case Reserved():
                self._reserve((row.account, row.address), row.link)
            case Opened(window=window):
                self._windows.setdefault(window.connection, {})[window.opened] = window
            case Scanned():
                self.scanned.add(row.account)

    def give(self, given: Given) -> None:
        """Take in what a person's word left behind. Links that ended come first: others take their contacts over."""
        for key in given.released:
            self._release(key)
        for link_id in given.ended:
            self._drop_link(link_id)
        for key in given.forgotten:
            self._drop_record(key)
        for row in sorted(given.rows, key=lambda row: not (isinstance(row, Linked) and row.link.status == "ended")):
            self.put(row)

    # Keeping ----------------------------------------------------------------------------------------------------

    def _put_record(self, record: Record, raw: bytes) -> None:
        key = (record.account, record.contact_id)
        self._records[key] = msgspec.json.encode(record)
        self._objects[key] = raw
        had = self._addresses.get(key, ())
        if had != record.addresses:
            for address in had:
                left = self._sharing[address] - {key}
                if left:
                    self._sharing[address] = left
                else:
                    del self._sharing[address]
            for address in record.addresses:
                self._sharing[address] = self._sharing.get(address, frozenset()) | {key}
        self._addresses[key] = record.addresses
        mark = record.contact.mark if record.contact else None
        if mark is None:
            self._marks.pop(key, None)
        else:
            self._marks[key] = mark
        self._merge(key, record.merged_into)

    def _drop_record(self, key: ContactKey) -> None:
        found = self.record(*key)
        if found is not None:
            self._put_record(replace(found, addresses=(), contact=None, merged_into=None), b"null")
            del self._records[key], self._objects[key], self._addresses[key]

    def _merge(self, key: ContactKey, into: str | None) -> None:
        known = self._into.pop(key, None)
        if known is not None:
            self._absorbed[known].discard(key)
        if into is not None:
            self._into[key] = (key[0], into)
            self._absorbed[key[0], into].add(key)

    def _put_link(self, link: Link) -> None:
        before = self._pairs.get(link.id)
        if before is not None:
            for side, contact_id in zip(SIDES, before[1:], strict=True):
                place = (before[0], side, contact_id or "")
                if self._halves.get(place) == link.id:
                    del self._halves[place]
        seq = link.seq if link.seq is not None else self._last + 1
        self._last = max(self._last, seq)
        self._seqs[link.id] = seq
        self._links[link.id] = msgspec.json.encode(replace(link, seq=None))
        self._pairs[link.id] = (link.connection, link.left.contact_id, link.right.contact_id)
        if link.status != "ended":
            for side in SIDES:
                contact_id = link.half(side).contact_id
                if contact_id is not None:
                    self._halves[link.connection, side, contact_id] = link.id
        if link.wait is not None and link.wait.reason == "duplicate":
            self._blockers[link.id] = link.wait.on
        else:
            self._blockers.pop(link.id, None)
        among = self._active.setdefault(link.connection, set())
        if link.status == "active":
            among.add(link.id)
        else:
            among.discard(link.id)

    def _drop_link(self, link_id: str) -> None:
        for key in set(self._held.get(link_id, ())):
            self._release(key)
        link = self.link(link_id)
        if link is not None:
            self._put_link(replace(link, status="ended", wait=None))
            del self._links[link_id], self._seqs[link_id], self._pairs[link_id]

    def _reserve(self, key: ContactKey, link_id: str) -> None:
        self._release(key)
        account, address = key
        self._reservations.setdefault(address, {})[account] = link_id
        self._held[link_id].add(key)

    def _release(self, key: ContactKey) -> None:
        account, address = key
        holders = self._reservations.get(address)
        link_id = None if holders is None else holders.pop(account, None)
        if not holders:
            self._reservations.pop(address, None)
        if link_id is not None:
            self._held[link_id].discard(key)
            if not self._held[link_id]:
                del self._held[link_id]
