"""Fails when a merge is taken for a deletion, when a tag isn't a level, or when a person's removal isn't final."""

import pytest
from msgspec.structs import replace

from services.contracts.commands import Create, Look, Tag, Untag, Update
from services.contracts.connection import Options
from services.contracts.contact import Fields, PersonName
from services.contracts.receipts import Written
from services.sync.core.take import Reconsider
from tests.core.bench import (
    ADA,
    BOOK,
    CARD,
    ONE_WAY,
    SHOP,
    TRASH,
    TWO_WAY,
    Bench,
    answer,
    only,
    phone,
    tel,
    writes,
)

HEIR: Fields = {"n": (PersonName(given="Ada", family="Byron"),), "email": ("ada@example.com",), "tel": tel("44")}
TAGGED = replace(ONE_WAY, options=Options(sync_deletions="right_to_left"))
BOB: Fields = {"name": ("Bob Hill",), "email": ("bob@example.com",)}
BOB_CARD: Fields = {"n": (PersonName(given="Bob", family="Hill"),), "email": ("bob@example.com",)}


def tagged() -> tuple[Bench, Tag]:
    """A pair whose card was deleted at 100 and whose customer was tagged at 104."""
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=100))
    tag = only(bench.wait(3), Tag)
    assert bench.take(bench.written(tag, ADA, at=104, tags=[TRASH])) == []
    return bench, tag


# Merges by hand --------------------------------------------------------------------------------------------


def test_p13_the_delete_is_seen_before_the_survivors_update() -> None:
    bench = Bench(connection=TAGGED)
    bench.paired(ADA, CARD)
    bench.take(bench.changed("office", "heir", BOB_CARD, at=50))
    assert bench.take(bench.deleted("office", "card", at=100)) == []
    merged = {**BOB_CARD, "email": ("bob@example.com", "ada@example.com")}
    bench.take(bench.changed("office", "heir", merged, at=100))
    assert [write for write in writes(bench.wait(3)) if isinstance(write, Tag)] == []
    assert bench.link_of("shop", "cus").right.contact_id == "heir"


def test_p13_a_link_that_moves_to_the_merges_survivor_brings_the_values_in_step() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.changed("office", "heir", HEIR, at=50))
    bench.take(bench.deleted("office", "card", at=100))
    update = only(bench.wait(3), Update)
    assert (update.aim.account, update.contact_id) == ("office", "heir")
    assert update.fields == {"n": (PersonName(given="Ada", family="King"),), "tel": phone("01")}
    assert bench.link().status == "active"


def test_p13_the_survivor_is_linked_already_and_the_link_ends_as_merged() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.state.scanned = frozenset()
    bench.take(bench.changed("shop", "bob", BOB, at=5), bench.changed("office", "bobs", BOB_CARD, at=5))
    bench.state.scanned = bench.scanned
    merged = {**BOB_CARD, "email": ("bob@example.com", "ada@example.com")}
    bench.take(bench.changed("office", "bobs", merged, at=99))
    bench.take(bench.deleted("office", "card", at=100))
    assert [write for write in writes(bench.wait(3)) if isinstance(write, Tag)] == []
    assert "merged" in {decision.outcome for decision in bench.state.decisions}
    bench.sweep()
    assert bench.link_of("shop", "cus").status == "duplicate"


def test_p13_a_linked_survivor_that_gains_the_address_after_the_window_takes_our_tag_off() -> None:
    bench, _ = tagged()
    bench.state.scanned = frozenset()
    bench.take(bench.changed("shop", "bob", BOB, at=110), bench.changed("office", "bobs", BOB_CARD, at=110))
    bench.state.scanned = bench.scanned
    merged = {**BOB_CARD, "email": ("bob@example.com", "ada@example.com")}
    untag = [
        write
        for write in writes(bench.take(bench.changed("office", "bobs", merged, at=200)) + bench.sweep())
        if isinstance(write, Untag)
    ]
    assert [write.contact_id for write in untag] == ["cus"]


def test_p13_an_unlinked_survivor_that_gains_the_address_after_the_window_takes_the_link_up() -> None:
    bench = Bench(connection=TAGGED)
    bench.paired(ADA, CARD)
    bench.take(bench.changed("office", "heir", BOB_CARD, at=50))
    bench.take(bench.deleted("office", "card", at=100))
    tag = only(bench.wait(3), Tag)
    bench.take(bench.written(tag, ADA, at=104, tags=[TRASH]))
    merged = {**BOB_CARD, "email": ("bob@example.com", "ada@example.com")}
    told = writes(bench.take(bench.changed("office", "heir", merged, at=200)) + bench.sweep())
    assert [type(write) for write in told] == [Untag]
    assert bench.link_of("shop", "cus").right.contact_id == "heir"


def test_p13_a_contact_with_an_address_that_only_the_deleted_one_had_takes_the_link_up() -> None:
    bench = Bench()
    bench.paired(ADA, {**CARD, "email": ("ada@example.com", "king@example.com")})
    bench.take(bench.deleted("office", "card", at=100))
    tag = only(bench.wait(3), Tag)
    bench.take(bench.written(tag, ADA, at=104, tags=[TRASH]))
    told = writes(bench.take(bench.changed("office", "new", {**CARD, "email": ("king@example.com",)}, at=200)))
    told += writes(bench.sweep())
    assert [type(write) for write in told] == [Untag]
    assert bench.link_of("shop", "cus").right.contact_id == "new"


def test_p13_an_heir_that_is_being_looked_at_is_waited_for() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.changed("office", "heir", HEIR, at=50))
    look = only(bench.take(bench.changed("office", "heir", {**HEIR, "tel": tel("45")}, at=50)), Look)
    bench.take(bench.deleted("office", "card", at=100))
    assert writes(bench.wait(3)) == []
    bench.take(bench.looked(look, BOB_CARD, at=105))
    told = writes(bench.wait(3))
    assert [type(write) for write in told if isinstance(write, Tag)] == [Tag]


def test_p13_an_heir_whose_own_create_is_in_flight_is_waited_for() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    create = only(bench.take(bench.changed("office", "heir", BOB_CARD, at=50)), Create)
    bench.take(bench.deleted("office", "card", at=100))
    tag = only(bench.wait(3), Tag)
    bench.take(bench.written(tag, ADA, at=104, tags=[TRASH]))
    merged = {**BOB_CARD, "email": ("ada@example.com",)}
    bench.take(bench.changed("office", "heir", merged, at=200))
    assert bench.link_of("office", "heir").id == create.aim.link
    assert bench.link_of("office", "heir").unsettled
    assert bench.take(bench.changed("shop", "other", BOB, at=210)) == []
    assert bench.state.reservations["shop", "bob@example.com"] == create.aim.link


# The tag is a level ----------------------------------------------------------------------------------------


def test_p13_no_tag_before_the_merge_window_has_passed() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=100))
    assert bench.wait(1.9) == []
    assert isinstance(only(bench.wait(0.1), Tag), Tag)


@pytest.mark.parametrize(("poll_seconds", "before"), [("10", 11.9), ("0.5", 2.4), ("soon", 31.9)])
def test_p13_where_only_polls_show_changes_the_window_is_one_poll_longer(poll_seconds: str, before: float) -> None:
    polled = replace(BOOK, polled=True, poll_interval=30.0)
    bench = Bench(manifests={"shop": SHOP, "office": polled.of({"poll_seconds": poll_seconds})})
    bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=100))
    assert bench.wait(before) == []
    assert isinstance(only(bench.wait(0.1), Tag), Tag)


def test_p13_another_event_within_the_window_does_not_shorten_it() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=100))
    bench.state.now += 1_000_000
    assert bench.take(bench.changed("shop", "cus", {**ADA, "description": ("VIP",)}, at=101)) == []
    assert bench.take(bench.deleted("office", "card", at=101.5)) == []
    assert bench.take(Reconsider(link=bench.link().id)) == []
    assert isinstance(only(bench.wait(1), Tag), Tag)


def test_p13_an_observation_that_is_not_surely_newer_than_our_tag_is_no_removal() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=100))
    tag = only(bench.wait(3), Tag)
    assert bench.take(bench.changed("shop", "cus", ADA, at=104)) == []
    look = only(bench.take(bench.written(tag, ADA, at=104, tags=[TRASH])), Look)
    assert bench.take(bench.looked(look, ADA, at=104)) == []
    assert bench.link().left.tag == "ours"


def test_p13_a_contact_restored_within_the_window_is_not_tagged() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=100))
    bench.take(bench.changed("office", "card", CARD, at=110))
    assert bench.wait(60) == []
    assert bench.link().status == "active"


def test_p13_the_window_begins_anew_with_the_next_deletion() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=100))
    bench.take(bench.changed("office", "card", CARD, at=110))
    bench.state.now += 3_000_000
    assert bench.take(bench.deleted("office", "card", at=120)) == []
    assert bench.wait(1) == []
    assert isinstance(only(bench.wait(1), Tag), Tag)


def test_p13_deleted_restored_and_deleted_with_the_untag_in_flight_ends_tagged() -> None:
    bench, _ = tagged()
    untag = only(bench.take(bench.changed("office", "card", CARD, at=200)), Untag)
    assert bench.take(bench.deleted("office", "card", at=210)) == []
    assert bench.wait(3) == []
    again = only(bench.take(bench.written(untag, ADA, at=220)), Tag)
    assert bench.take(bench.written(again, ADA, at=230, tags=[TRASH])) == []
    assert bench.wait(60) == []
    assert (bench.link().status, bench.link().left.tag) == ("tombstone", "ours")


def test_p13_restored_with_the_tag_in_flight_ends_untagged() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=100))
    tag = only(bench.wait(3), Tag)
    assert bench.take(bench.changed("office", "card", CARD, at=110)) == []
    untag = only(bench.take(bench.written(tag, ADA, at=111, tags=[TRASH])), Untag)
    assert bench.take(bench.written(untag, ADA, at=120)) == []
    assert (bench.link().status, bench.link().left.tag) == ("active", "none")


def test_p13_a_tag_removed_by_a_person_stays_removed() -> None:
    bench, _ = tagged()
    assert bench.take(bench.changed("shop", "cus", ADA, at=300)) == []
    assert bench.link().left.tag == "final"
    assert bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=400)) == []
    assert bench.wait(3600) == []


def test_p13_an_observation_older_than_our_tag_is_no_removal() -> None:
    bench, _ = tagged()
    assert bench.take(bench.changed("shop", "cus", ADA, at=101, until=102)) == []
    assert bench.link().left.tag == "ours"


def test_p13_a_final_removal_is_forgotten_when_the_contact_returns() -> None:
    bench, _ = tagged()
    bench.take(bench.changed("shop", "cus", ADA, at=300))
    assert bench.take(bench.changed("office", "card", CARD, at=400)) == []
    assert bench.link().left.tag == "none"
    bench.take(bench.deleted("office", "card", at=500))
    assert isinstance(only(bench.wait(3), Tag), Tag)


def test_p13_a_tag_that_a_person_had_set_is_not_ours_to_remove() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.changed("shop", "cus", ADA, at=50, tags=[TRASH]))
    bench.take(bench.deleted("office", "card", at=100))
    assert bench.wait(60) == []
    assert bench.take(bench.changed("office", "card", CARD, at=200)) == []


@pytest.mark.parametrize("first", ["shop-office", "extra"])
def test_p13_a_tag_stays_while_another_link_to_the_contact_wants_it(first: str) -> None:
    extra = replace(TWO_WAY, name="extra", left="shop", right="second")
    manifests = {"shop": SHOP, "office": BOOK, "second": BOOK}
    bench = Bench(manifests=manifests, scanned=frozenset(), more=(extra,))
    bench.take(bench.changed("shop", "cus", ADA))
    for account, contact_id in (("office", "card"), ("second", "card2")):
        bench.take(bench.changed(account, contact_id, CARD))
    cards = [("office", "card"), ("second", "card2")]
    if first == "extra":
        cards.reverse()
    for turn, (account, contact_id) in enumerate(cards):
        bench.take(bench.deleted(account, contact_id, at=100 + turn))
        for write in writes(bench.wait(3)):
            bench.take(bench.written(write, ADA, at=110 + turn, tags=[TRASH]))
    told = writes(bench.take(bench.changed(*cards[0], CARD, at=200)) + bench.sweep())
    assert told == []
    told = writes(bench.take(bench.changed(*cards[1], CARD, at=300)) + bench.sweep())
    assert [type(write) for write in told] == [Untag]


def test_p13_the_tag_may_be_set_again_after_our_untag_was_seen() -> None:
    bench, _ = tagged()
    untag = only(bench.take(bench.changed("office", "card", CARD, at=200)), Untag)
    bench.take(bench.written(untag, ADA, at=210))
    assert bench.take(bench.changed("shop", "cus", ADA, at=220)) == []
    bench.take(bench.deleted("office", "card", at=300))
    assert isinstance(only(bench.wait(3), Tag), Tag)


def test_p13_a_write_in_flight_to_the_survivor_is_waited_for() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("office", "card", {**CARD, "tel": tel("55")}, at=90)), Update)
    bench.take(bench.deleted("office", "card", at=100))
    assert bench.wait(3) == []
    assert isinstance(only(bench.take(bench.written(update, {**ADA, "phone": tel("55")}, at=110)), Tag), Tag)


# What tombstones block -------------------------------------------------------------------------------------


def test_p13_the_survivor_goes_on_blocking_creates_for_its_addresses() -> None:
    bench, _ = tagged()
    assert bench.take(bench.changed("shop", "twin", ADA, at=200)) == []
    assert bench.link_of("shop", "twin").status == "duplicate"


def test_p13_on_the_deleted_side_a_tombstone_reserves_nothing() -> None:
    bench, _ = tagged()
    assert bench.state.reservations == {}
    told = writes(bench.take(bench.changed("office", "new", CARD, at=200)) + bench.sweep())
    assert [type(write) for write in told] == [Untag]
    assert bench.link_of("office", "new").left.contact_id == "cus"


def test_p13_a_contact_outside_the_sync_is_not_tagged() -> None:
    bench = Bench(connection=TAGGED)
    bench.take(bench.changed("office", "card", CARD))
    assert bench.link().status == "outside"
    bench.take(bench.deleted("office", "card", at=100))
    assert bench.wait(60) == []
    assert {link.status for link in bench.links()} == {"ended"}


def test_p13_a_tag_answered_by_a_replay_is_ours_and_looked_up() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=100))
    tag = only(bench.wait(3), Tag)
    outcome = bench.written(tag, ADA, at=104, tags=[TRASH]).outcome
    assert isinstance(outcome, Written)
    look = only(bench.take(answer(tag, replace(outcome, replayed=True))), Look)
    assert look.contact_id == "cus"
    assert bench.link().left.tag == "ours"


def test_p13_both_deleted_ends_the_link_without_a_tag() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=100), bench.deleted("shop", "cus", at=100))
    assert bench.wait(60) == []
    assert bench.links()[0].status == "ended"
    create = only(bench.take(bench.changed("shop", "again", ADA, at=200)), Create)
    assert create.aim.link != bench.links()[0].id
