"""A contact that was unlinked, deleted and brought back gets a partner of its own, not the former one (C7)."""

from __future__ import annotations

from services.contracts.commands import Create
from services.contracts.contact import Fields
from services.sync.core import hand
from services.sync.core.hand import Unlinked
from tests.core.bench import CARD, TWO_WAY, Bench, only

MOVED: Fields = {"name": ("Ada King",), "email": ("moved@example.com",)}


def test_c7_what_the_parted_link_made_is_not_taken_for_what_the_restored_contact_s_create_makes() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("office", "card", CARD)), Create)
    bench.take(bench.written(create, {"name": ("Ada King",), "email": create.addresses}, at=5, contact_id="made"))
    parted = bench.link_of("shop", "made")
    said = hand.part(bench.state, bench.state.configs[TWO_WAY.name], parted.id)
    assert said == Unlinked(left="made", right="card")
    bench.take(bench.deleted("office", "card", at=20))
    bench.take(bench.changed("shop", "made", MOVED, at=30, mark=parted.id))
    bench.take(bench.changed("office", "card", CARD, at=40))
    bench.sweep()
    again = bench.link_of("office", "card")
    assert again.left.pending is not None
    # The app proves a create by the mark: under the parted link's id it would find `made`.
    assert again.id != parted.id
