"""`link` and `unlink`: a person's word about who belongs to whom (C7)."""

from collections.abc import Mapping

from services.contracts.app import Manifest
from services.contracts.connection import Connection
from services.runtime.store import Store
from services.sync.core import hand
from services.sync.core.hand import Linked, Not, Unlinked
from services.sync.core.slice import Slice
from services.sync.hand.word import seeds, spoken


async def link(
    store: Store, manifests: Mapping[str, Manifest], pair: Connection, left: str, right: str
) -> Linked | Not:
    """Pair two contacts, by their ids, in a connection. `manifests` is by app."""

    def word(state: Slice) -> Linked | Not:
        return hand.join(state, state.configs[pair.name], left, right)

    named = seeds(contacts=((pair.left, left), (pair.right, right)))
    return await spoken(store, manifests, named, f"link {left} {right}", word)


async def unlink(store: Store, manifests: Mapping[str, Manifest], pair: Connection, link_id: str) -> Unlinked | Not:
    """Dissolve a pair of a connection, by its link's id."""

    def word(state: Slice) -> Unlinked | Not:
        return hand.part(state, state.configs[pair.name], link_id)

    return await spoken(store, manifests, seeds(links=(link_id,)), f"unlink {link_id}", word)
