"""A person's word about pairs and refusals (C7, G2): what it does to what is known, without any database."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from services.contracts.commands import Command, Create, Find, Tag, Untag, Update
from services.contracts.connection import Options
from services.contracts.contact import Fields, PersonName
from services.contracts.receipts import Refused
from services.sync.core import hand
from services.sync.core.hand import Linked, Not, Unlinked
from tests.core.bench import (
    ADA,
    ASKED_BOOK,
    CARD,
    SHOP,
    TRASH,
    TWO_WAY,
    Bench,
    answer,
    looks,
    only,
    phone,
    tel,
    writes,
)
from tests.core.bench import found as hit

GRACE: Fields = {"name": ("Grace Hopper",), "email": ("grace@example.com",)}
GRACES_CARD: Fields = {"n": (PersonName(given="Grace", family="Hopper"),), "email": ("grace@example.com",)}
OTHER_CARD: Fields = {**CARD, "email": ("countess@example.com",)}


def link(bench: Bench, left: str, right: str) -> tuple[Linked | Not, list[Command]]:
    """Let a person link two contacts."""
    said = hand.join(bench.state, bench.state.configs[bench.connection.name], left, right)
    return said, bench.take()


def unlink(bench: Bench, contact: str = "cus") -> tuple[Unlinked | Not, list[Command]]:
    """Let a person unlink a contact of the shop."""
    found = bench.link_of("shop", contact)
    said = hand.part(bench.state, bench.state.configs[bench.connection.name], found.id)
    return said, bench.take()


def both(bench: Bench) -> tuple[str, str]:
    """How the links of `cus` and `card` stand."""
    return bench.link_of("shop", "cus").status, bench.link_of("office", "card").status


def pair(bench: Bench) -> tuple[str | None, str | None]:
    found = bench.link_of("shop", "cus")
    return found.left.contact_id, found.right.contact_id


# link ---------------------------------------------------------------------------------------------------------


def test_c7_contacts_without_a_shared_address_are_linked_and_the_first_pairing_fills_what_is_empty() -> None:
    bench = Bench(scanned=frozenset())
    bench.take(bench.changed("shop", "cus", ADA), bench.changed("office", "card", {**OTHER_CARD, "tel": ()}))
    bench.scanned = bench.state.scanned = frozenset({"shop", "office"})
    said, commands = link(bench, "cus", "card")
    assert said == Linked(link=bench.link().id)
    update = only(commands, Update)
    assert (update.contact_id, update.fields) == ("card", {"tel": phone("01")})
    assert pair(bench) == ("cus", "card")
    bench.take(bench.written(update, {**OTHER_CARD, "tel": tel("01")}, at=10))
    assert not bench.wait(3600)


def test_c7_linking_a_pair_again_changes_nothing() -> None:
    bench = Bench()
    before = bench.paired(ADA, CARD)
    said, commands = link(bench, "cus", "card")
    assert said == Linked(link=before.id, already=True)
    assert not commands
    assert bench.link() == before


def test_c7_a_person_outranks_matching_and_former_partners_are_alone() -> None:
    bench = Bench()
    old = bench.paired(ADA, CARD)
    bench.take(bench.changed("office", "right", GRACES_CARD, at=200))
    create = only(writes(bench.sent), Create)
    bench.take(bench.written(create, GRACE, at=210, contact_id="grace"))
    bench.sent.clear()
    said, commands = link(bench, "cus", "right")
    assert isinstance(said, Linked)
    assert set(said.left_alone) == {("right", "card"), ("left", "grace")}
    # Of two links the one goes on for which something was made: the ledger knows it.
    assert (said.link, pair(bench)) == (create.aim.link, ("cus", "right"))
    assert bench.state.links[old.id].alias_of == create.aim.link
    # Nothing is made for those who are alone: their addresses are taken by the pair.
    assert not [command for command in commands if isinstance(command, Create)]
    assert bench.link_of("office", "card").status == "duplicate"
    assert bench.link_of("shop", "grace").status == "duplicate"
    assert bench.link_of("office", "card").id != old.id


def test_c7_a_duplicate_takes_the_place_of_the_contact_that_came_first() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.changed("shop", "twin", {**ADA, "phone": ()}, at=200))
    assert bench.link_of("shop", "twin").status == "duplicate"
    said, _ = link(bench, "twin", "card")
    assert isinstance(said, Linked)
    assert said.left_alone == (("left", "cus"),)
    bench.sweep()
    assert bench.link_of("shop", "twin").right.contact_id == "card"
    assert bench.link_of("shop", "cus").status == "duplicate"
    bench.take(bench.changed("shop", "cus", {**ADA, "phone": ("+1 202 555 0177",)}, at=300))
    assert bench.link_of("shop", "cus").status == "duplicate"


def test_c7_a_pair_by_hand_outlives_scans_and_new_configs() -> None:
    bench = Bench(scanned=frozenset())
    bench.take(bench.changed("shop", "cus", ADA), bench.changed("office", "card", OTHER_CARD))
    bench.scanned = bench.state.scanned = frozenset({"shop", "office"})
    _, commands = link(bench, "cus", "card")
    for update in writes(commands):
        bench.take(bench.written(update, OTHER_CARD, at=10))
    bench.sent.clear()
    bench.configure(version=2)
    bench.sweep()
    bench.take(
        bench.changed("shop", "cus", ADA, at=100, scan=2), bench.changed("office", "card", OTHER_CARD, at=100, scan=2)
    )
    assert pair(bench) == ("cus", "card")
    assert both(bench) == ("active", "active")
    assert not writes(bench.sent)


def test_c7_a_pair_whose_write_is_under_way_waits_for_its_receipt() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    (update,) = writes(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("42")}, at=100)))
    bench.state.scanned = frozenset()
    bench.take(bench.changed("office", "other", OTHER_CARD, at=100))
    before = dict(bench.state.links)
    said, commands = link(bench, "cus", "other")
    assert said == Not(why="writing")
    assert said.passing
    assert unlink(bench)[0] == Not(why="writing")
    assert not commands
    assert bench.state.links == before
    bench.take(bench.written(update, {**CARD, "tel": tel("42")}, at=110))
    assert isinstance(unlink(bench)[0], Unlinked)


def test_c7_a_contact_that_is_being_made_or_read_is_left_in_peace() -> None:
    bench = Bench()
    bench.take(bench.changed("shop", "cus", ADA))
    (create,) = writes(bench.sent)
    bench.take(bench.changed("office", "new", CARD, at=5, mark=create.aim.link))
    assert link(bench, "cus", "new")[0] == Not(why="creating", contact_id="new")
    bench.take(bench.written(create, CARD, at=5, contact_id="new"))
    bench.take(bench.touched("office", "new"))
    assert looks(bench.sent)
    bench.state.scanned = frozenset()
    bench.take(bench.changed("shop", "grace", GRACE, at=10))
    assert link(bench, "grace", "new")[0] == Not(why="reading", contact_id="new")


def test_c7_a_contact_that_is_gone_or_not_known_is_not_linked() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    assert link(bench, "cus", "nobody")[0] == Not(why="gone", contact_id="nobody")
    bench.take(bench.deleted("office", "card", at=100))
    assert link(bench, "cus", "card")[0] == Not(why="gone", contact_id="card")
    assert unlink(bench)[0] == Not(why="alone", contact_id="card")


def test_c7_the_survivor_of_a_deletion_gets_another_partner_and_loses_our_tag() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=100))
    tag = only(writes(bench.wait(10)), Tag)
    bench.take(bench.written(tag, ADA, at=115, tags=[TRASH]))
    bench.state.scanned = frozenset()
    bench.take(bench.changed("office", "other", OTHER_CARD, at=120))
    bench.sent.clear()
    said, commands = link(bench, "cus", "other")
    assert isinstance(said, Linked)
    assert said.left_alone == ()
    assert only(writes(commands), Untag).contact_id == "cus"


def test_c7_linking_while_paused_writes_nothing_until_the_pause_ends() -> None:
    bench = Bench(scanned=frozenset())
    bench.take(bench.changed("shop", "cus", ADA), bench.changed("office", "card", {**OTHER_CARD, "tel": ()}))
    bench.scanned = bench.state.scanned = frozenset({"shop", "office"})
    bench.configure(paused=True)
    assert isinstance(link(bench, "cus", "card")[0], Linked)
    assert not writes(bench.sent)
    only(writes(bench.resume()), Update)


def test_c7_nothing_is_linked_or_unlinked_while_the_log_is_read_again_after_a_restore() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.state.catching_up = True
    before = dict(bench.state.links)
    assert link(bench, "cus", "card")[0] == Not(why="catching up")
    assert unlink(bench)[0] == Not(why="catching up")
    assert bench.state.links == before


# unlink -------------------------------------------------------------------------------------------------------


def test_c7_an_unlinked_pair_is_not_matched_again_and_nothing_is_written() -> None:
    bench = Bench()
    old = bench.paired(ADA, CARD)
    said, commands = unlink(bench)
    assert said == Unlinked(left="cus", right="card")
    commands += bench.sweep()
    bench.configure(version=2)
    commands += bench.sweep()
    commands += bench.take(
        bench.changed("shop", "cus", {**ADA, "phone": phone("42")}, at=100, scan=2),
        bench.changed("office", "card", {**CARD, "note": ("hello",)}, at=100, scan=2),
    )
    commands += bench.wait(86400)
    assert not commands
    assert both(bench) == ("outside", "outside")
    assert bench.link_of("shop", "cus").id not in (old.id, bench.link_of("office", "card").id)


def test_c7_linking_an_unlinked_pair_lifts_that() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    unlink(bench)
    assert isinstance(link(bench, "cus", "card")[0], Linked)
    assert not any(record.apart for record in bench.state.records.values())
    (update,) = writes(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("42")}, at=100)))
    assert update.contact_id == "card"  # type: ignore[union-attr]


def test_c7_each_half_of_an_unlinked_pair_may_pair_with_others() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    unlink(bench)
    bench.take(bench.changed("office", "second", CARD, at=100))
    bench.sweep()
    assert pair(bench) == ("cus", "second")
    assert bench.link_of("office", "card").status == "duplicate"


def test_c7_an_unlinked_contact_gets_a_new_partner_once_the_other_ones_address_has_changed() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    unlink(bench)
    assert not writes(bench.sent)
    bench.take(bench.changed("office", "card", {**CARD, "email": ("countess@example.com",)}, at=100))
    bench.sweep()
    creates = [each for each in writes(bench.sent) if isinstance(each, Create)]
    assert sorted(each.aim.account for each in creates) == ["office", "shop"]


def test_c7_without_a_shared_address_nothing_is_made_until_an_address_changes() -> None:
    bench = Bench(scanned=frozenset())
    bench.take(bench.changed("shop", "cus", ADA), bench.changed("office", "card", OTHER_CARD))
    bench.scanned = bench.state.scanned = frozenset({"shop", "office"})
    for update in writes(link(bench, "cus", "card")[1]):
        bench.take(bench.written(update, OTHER_CARD, at=10))
    bench.sent.clear()
    assert isinstance(unlink(bench)[0], Unlinked)
    bench.wait(86400)
    assert both(bench) == ("outside", "outside")
    assert not writes(bench.sent)
    (create,) = writes(bench.take(bench.changed("shop", "cus", {**ADA, "email": ("king@example.com",)}, at=100)))
    assert (create.aim.account, isinstance(create, Create)) == ("office", True)


def test_c7_contacts_without_any_address_are_not_made_anew_after_they_were_unlinked() -> None:
    open_to_all = replace(TWO_WAY, options=Options(avoid_duplicates=False))
    bench = Bench(connection=open_to_all, scanned=frozenset())
    bench.take(bench.changed("shop", "cus", {"name": ("Ada",)}))
    bench.take(bench.changed("office", "card", {"n": (PersonName(given="Ada"),)}))
    bench.scanned = bench.state.scanned = frozenset({"shop", "office"})
    link(bench, "cus", "card")
    assert isinstance(unlink(bench)[0], Unlinked)
    assert not writes(bench.sent + bench.wait(3600))


def test_c7_a_find_that_shows_the_unlinked_contact_neither_pairs_nor_makes_another() -> None:
    bench = Bench(manifests={"shop": SHOP, "office": ASKED_BOOK})
    bench.paired(ADA, CARD)
    unlink(bench)
    bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("42")}, at=100))
    for find in [each for each in bench.sent if isinstance(each, Find)]:
        bench.take(hit(find, "card"))
    bench.wait(3600)
    assert not writes(bench.sent)
    assert both(bench) == ("outside", "outside")


def test_c7_an_unlinked_contact_does_not_take_up_a_deleted_ones_place() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    unlink(bench)
    bench.take(bench.changed("office", "second", CARD, at=100))
    bench.sweep()
    bench.take(bench.deleted("office", "second", at=200))
    bench.wait(10)
    assert bench.link_of("shop", "cus").status == "tombstone"
    bench.take(bench.changed("office", "card", {**CARD, "note": ("still here",)}, at=300))
    bench.sweep()
    assert bench.link_of("shop", "cus").right.contact_id == "second"


def test_c7_an_unlinked_contact_that_is_deleted_tags_nobody() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    unlink(bench)
    bench.take(bench.deleted("office", "card", at=100))
    sent = bench.wait(60)
    assert not [each for each in writes(sent) if not isinstance(each, Create)]


def test_c7_unlinking_in_one_connection_leaves_the_other_alone() -> None:
    more = replace(TWO_WAY, name="second-pair")
    bench = Bench(more=(more,))
    bench.state.scanned = frozenset()
    bench.take(bench.changed("shop", "cus", ADA), bench.changed("office", "card", CARD))
    bench.state.scanned = bench.scanned
    unlink(bench)
    bench.sweep()
    assert both(bench) == ("outside", "outside")
    assert bench.link_of("shop", "cus", "second-pair").right.contact_id == "card"


# retry --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [("tel",), ()], ids=["a field", "the whole"])
def test_g2_a_retry_sends_once_what_was_refused(fields: tuple[str, ...]) -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    (update,) = writes(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("42")}, at=100)))
    bench.take(answer(update, Refused(reason="no", fields=fields)))
    assert not writes(bench.wait(3600))
    assert hand.retry(bench.state, bench.link().id) == 1
    again = only(bench.take(), Update)
    assert again.fields == {"tel": phone("42")}
    assert again.aim.version > update.aim.version
    assert hand.retry(bench.state, bench.link().id) == 0
    assert not bench.take()


def test_g2_a_retry_makes_a_contact_whose_create_was_refused() -> None:
    bench = Bench()
    (create,) = writes(bench.take(bench.changed("shop", "cus", ADA)))
    bench.take(answer(create, Refused(reason="no")))
    assert not writes(bench.wait(3600))
    assert hand.retry(bench.state, bench.link().id) == 1
    only(bench.take(), Create)


def test_p15_without_a_retry_a_refused_value_rests() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    (update,) = writes(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("42")}, at=100)))
    bench.take(answer(update, Refused(reason="no", fields=("tel",))))
    bench.configure(version=2)
    assert not writes(bench.sweep())
    assert hand.retry(bench.state, "nothing") == 0
