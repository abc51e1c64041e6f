"""What people say about links: these two belong together, these two don't, try again what was refused (C7, G2)."""

from services.sync.core import hand
from services.sync.core.hand import Linked, Unlinked
from services.sync.core.slice import Slice
from tests.simulation.writing import Writing


class Hands(Writing):
    """Links, unlinks and retries by hand."""

    def link(self, connection: str, left_id: str, right_id: str) -> None:
        """A person says that two contacts are the same."""
        said: list[object] = []

        def join(state: Slice) -> None:
            said.append(hand.join(state, state.configs[connection], left_id, right_id))

        self.deeds += 1
        self.transact(join, f"a person links {left_id} and {right_id}")
        config = self.configs[connection].connection
        if isinstance(said[-1], Linked):
            self.by_hand |= {(config.left, left_id), (config.right, right_id)}
            self.unlinked.discard((connection, left_id, right_id))
        else:
            self.tell(f"    which can't be done: {said[-1]}")

    def unlink(self, link_id: str) -> None:
        """A person says that two contacts aren't the same."""
        said: list[object] = []

        def part(state: Slice) -> None:
            said.append(hand.part(state, state.configs[state.links[link_id].connection], link_id))

        self.deeds += 1
        self.transact(part, f"a person unlinks {link_id[:8]}")
        match said[-1]:
            case Unlinked(left=left, right=right):
                self.unlinked.add((self.state.links[link_id].connection, left, right))
            case refused:
                self.tell(f"    which can't be done: {refused}")

    def retry(self, link_id: str) -> None:
        """A person wants what was refused to be tried again."""
        self.deeds += 1
        self.transact(lambda state: _retry(state, link_id), f"a person retries {link_id[:8]}")


def _retry(state: Slice, link_id: str) -> None:
    hand.retry(state, link_id)
