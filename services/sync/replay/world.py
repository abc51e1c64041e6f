"""A world: what a transaction would have locked and loaded, found in memory instead of a database (P17)."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from services.contracts.contact import SIDES
from services.sync.closure import Keys, born, named, named_by
from services.sync.configs import Configs
from services.sync.core.brake import WINDOW, lock_of
from services.sync.core.slice import ContactKey, MissingLockError, Slice
from services.sync.core.state import Link, Record
from services.sync.journal import Journalled
from services.sync.replay.memory import Memory
from services.sync.transact import Cause, fold_all

Pair = tuple[str, str | None, str | None]
"""A link's connection, left contact and right contact."""

_links = msgspec.json.Decoder(Link)
_records = msgspec.json.Decoder(Record)


class World(Memory):
    """All that sync knows, and deciding on it as a transaction of sync does."""

    def fold(
        self,
        causes: Sequence[Cause],
        configs: Configs,
        *,
        now: int,
        active: Mapping[str, int] | None = None,
        seqs: Mapping[str, int] | None = None,
    ) -> tuple[list[Journalled], Slice, dict[ContactKey, str]]:
        """Decide about the causes in one transaction, and keep what comes of it.

        `now`: microseconds since 1970. `active`: counts of active links to be used instead of this world's.
        `seqs`: the places of new links in the order of first sight; without them they are given here.

        Return the journal, the slice as it was left, and the reservations as they were before.
        """
        keys, seeds = Keys(), named((cause.item for cause in causes), configs)
        while True:
            keys.add(self.closure(seeds, configs))
            state = self.slice(keys, configs, now=now, active=active)
            before = dict(state.reservations)
            try:
                journal = fold_all(state, causes)
            except MissingLockError as error:
                if error.key in keys.addresses:
                    raise
                keys.addresses.add(error.key)
                continue
            self.absorb(before, state, seqs or {})
            return journal, state, before

    def closure(self, seeds: Keys, configs: Configs) -> Keys:
        """Return everything that deciding about the seeds may read or change: as `services.sync.closure`."""
        keys = Keys(addresses=set(seeds.addresses), links=set(seeds.links), contacts=set(seeds.contacts))
        for account, contact_id in seeds.contacts:
            keys.links.update(born(configs, account, contact_id))
        self._links_of(keys, configs)
        keys.contacts |= self._merged(keys.contacts)
        for key in keys.contacts:
            keys.addresses.update(self._addresses.get(key, ()))
        for link_id in keys.links:
            keys.addresses.update(address for _, address in self._held.get(link_id, ()))
        for address in keys.addresses:
            keys.contacts.update(self._sharing.get(address, ()))
            keys.links.update(self._reservations.get(address, {}).values())
        for key in keys.contacts:
            keys.links.update(named_by(self._marks.get(key)))
        keys.links.update([self._blockers[link_id] for link_id in keys.links if link_id in self._blockers])
        self._links_of(keys, configs)
        return keys

    def _links_of(self, keys: Keys, configs: Configs) -> None:
        near = list(keys.links)
        for account, contact_id in keys.contacts:
            for name, config in configs.connections.items():
                for side in SIDES:
                    if config.account(side) == account:
                        found = self._halves.get((name, side, contact_id))
                        near += [] if found is None else [found]
        for link_id in near:
            pair = self._pairs.get(link_id)
            if pair is None:
                continue
            keys.links.add(link_id)
            known = configs.connections.get(pair[0])
            if known is not None:
                halves = ((known.account("left"), pair[1]), (known.account("right"), pair[2]))
                keys.contacts.update((account, contact_id) for account, contact_id in halves if contact_id is not None)

    def _merged(self, contacts: Iterable[ContactKey]) -> set[ContactKey]:
        found, sought = set(contacts), list(contacts)
        while sought:
            key = sought.pop()
            told = set(self._absorbed.get(key, ()))
            if key in self._into:
                told.add(self._into[key])
            sought += told - found
            found |= told
        return found

    def slice(self, keys: Keys, configs: Configs, *, now: int, active: Mapping[str, int] | None = None) -> Slice:
        """Build the slice that a transaction holding these keys would have loaded."""
        state = Slice(
            now=now,
            incarnation=configs.incarnation,
            configs=dict(configs.connections),
            manifests=configs.manifests,
            scanned=frozenset(self.scanned & configs.manifests.keys()),
            catching_up=configs.catching_up,
        )
        for key in sorted(keys.contacts):
            if key in self._records:
                state.records[key] = _records.decode(self._records[key])
                state.objects[key] = msgspec.Raw(self._objects[key])
        for link_id in sorted(keys.links):
            link = self.link(link_id)
            if link is not None:
                state.load_link(link)
        self._load_windows(state, keys, active or {})
        for address in keys.addresses:
            for account, holder in self._reservations.get(address, {}).items():
                state.reservations[account, address] = holder
        for link_id in keys.links:
            state.reservations.update(dict.fromkeys(self._held.get(link_id, ()), link_id))
        return state

    def _load_windows(self, state: Slice, keys: Keys, active: Mapping[str, int]) -> None:
        counted = {link.counted for link in state.links.values()}
        for name in state.configs:
            if lock_of(name) not in keys.addresses:
                continue
            state.windows[name] = {
                opened: window
                for opened, window in self._windows.get(name, {}).items()
                if opened > state.now - WINDOW or opened in counted
            }
            count = active.get(name, len(self._active.get(name, ())))
            if count:
                state.active[name] = count

    def absorb(self, before: Mapping[ContactKey, str], state: Slice, seqs: Mapping[str, int] | None = None) -> None:
        """Keep what changed in a slice. `before`: its reservations as they were; `seqs`: as in `fold`."""
        for key in sorted(state.dirty_records):
            self._put_record(state.records[key], bytes(state.objects.get(key, b"null")))
        changed = [state.links[link_id] for link_id in state.dirty_links]
        for link in sorted(changed, key=lambda link: (link.status != "ended", link.seq or 0)):
            known = self._seqs.get(link.id)
            self._put_link(replace(link, seq=known if known is not None else (seqs or {}).get(link.id, self._last + 1)))
        for name, opened in state.dirty_windows:
            self._windows.setdefault(name, {})[opened] = state.windows[name][opened]
        for key in before:
            if key not in state.reservations:
                self._release(key)
        for key, link_id in state.reservations.items():
            if before.get(key) != link_id:
                self._reserve(key, link_id)
