"""A world to try things in: it remembers how each link was at first, and finds contacts by their addresses."""

from collections.abc import Mapping

from services.runtime.store import Connection as Database
from services.sync.core.slice import ContactKey, Slice
from services.sync.core.state import Link
from services.sync.replay.present import known
from services.sync.replay.world import World


class Trial(World):
    """A world whose changes can be told."""

    def __init__(self) -> None:
        super().__init__()
        self.first: dict[str, Link | None] = {}
        """The links that changed, as they were before; None for new ones."""

    def absorb(self, before: Mapping[ContactKey, str], state: Slice, seqs: Mapping[str, int] | None = None) -> None:
        """Keep what changed in a slice."""
        for link_id in state.dirty_links:
            if link_id not in self.first:
                self.first[link_id] = self.link(link_id)
        super().absorb(before, state, seqs)

    def having(self, account: str, address: str) -> tuple[str, ...]:
        """Return the ids of the account's live contacts with the normalized address."""
        found = sorted(key[1] for key in self._sharing.get(address, ()) if key[0] == account)
        records = [self.record(account, contact_id) for contact_id in found]
        return tuple(record.contact_id for record in records if record is not None and record.live)

    def contacts(self) -> list[ContactKey]:
        """Return the keys of all contacts, sorted."""
        return sorted(self._records)

    def linked(self, connection: str, contact_id: str, *, left: bool) -> bool:
        """Whether that contact has a link in the connection which hasn't ended."""
        return (connection, "left" if left else "right", contact_id) in self._halves


async def trial_of(database: Database) -> Trial:
    """Return what sync knows now. The transaction has to be a repeatable read."""
    made = Trial()
    async for row in known(database):
        made.put(row)
    return made
