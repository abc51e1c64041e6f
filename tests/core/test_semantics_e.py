"""Deletions (SEMANTICS E1-E5) on the core."""

import typing

import pytest
from msgspec.structs import replace

from services.contracts.app import Ability
from services.contracts.commands import Command, Create, Tag, Untag
from services.contracts.connection import Deletions, Options
from tests.core.bench import ADA, BOOK, CARD, SHOP, TRASH, TWO_WAY, Bench, only, writes


def with_deletions(wanted: Deletions) -> Bench:
    bench = Bench(connection=replace(TWO_WAY, options=Options(sync_deletions=wanted)))
    bench.paired(ADA, CARD)
    return bench


def test_e1_there_is_no_command_that_deletes() -> None:
    names = {kind.__name__ for kind in typing.get_args(Command)}
    assert names == {"Create", "Update", "Tag", "Untag", "Look", "Find"}


@pytest.mark.parametrize(
    ("wanted", "account", "tagged"),
    [
        ("right_to_left", "office", True),
        ("right_to_left", "shop", False),
        ("left_to_right", "office", False),
        ("left_to_right", "shop", True),
        ("both", "office", True),
        ("both", "shop", True),
        ("none", "office", False),
        ("none", "shop", False),
    ],
)
def test_e2_a_deletion_tags_the_other_side_exactly_where_the_option_says(
    wanted: Deletions, account: str, *, tagged: bool
) -> None:
    bench = with_deletions(wanted)
    contact_id = {"shop": "cus", "office": "card"}[account]
    assert bench.take(bench.deleted(account, contact_id, at=100)) == []
    told = writes(bench.wait(3))
    assert [type(write) for write in told] == ([Tag] if tagged else [])
    assert all(write.aim.account != account for write in told)
    assert bench.link().status == "tombstone"


def test_e2_only_where_one_side_detects_deletions_and_the_other_takes_tags() -> None:
    for shop, book in (
        (replace(SHOP, abilities=SHOP.abilities - {Ability.TAG}), BOOK),
        (SHOP, replace(BOOK, abilities=BOOK.abilities - {Ability.DETECT_DELETION})),
    ):
        bench = Bench(manifests={"shop": shop, "office": book})
        bench.paired(ADA, CARD)
        bench.take(bench.deleted("office", "card", at=100))
        assert writes(bench.wait(3)) == []


def test_e2_e3_the_tag_carries_the_utc_day() -> None:
    bench = with_deletions("right_to_left")
    bench.take(bench.deleted("office", "card", at=100))
    tag = only(bench.wait(3), Tag)
    assert (tag.tag, tag.date, tag.contact_id) == (TRASH, "2026-09-21", "cus")


def test_e2_once_per_deletion() -> None:
    bench = with_deletions("right_to_left")
    bench.take(bench.deleted("office", "card", at=100))
    tag = only(bench.wait(3), Tag)
    bench.take(bench.deleted("office", "card", at=100), bench.deleted("office", "card", at=101.5))
    assert bench.wait(60) == []
    bench.take(bench.written(tag, ADA, at=104, tags=[TRASH]))
    assert bench.take(bench.deleted("office", "card", at=200)) == []
    assert bench.wait(60) == []


def test_e4_a_survivor_is_not_used_to_recreate_the_deleted_contact() -> None:
    bench = with_deletions("none")
    bench.take(bench.deleted("office", "card", at=100))
    bench.wait(3)
    assert bench.take(bench.changed("shop", "cus", {**ADA, "name": ("Ada Lovelace",)}, at=200)) == []
    assert writes(bench.wait(86_400)) == []


def test_e4_nor_by_another_event_than_an_edit() -> None:
    bench = with_deletions("right_to_left")
    bench.take(bench.deleted("office", "card", at=100))
    only(bench.wait(3), Tag)
    bench.configure(replace(bench.connection, winner="right"), version=2)
    assert [write for write in writes(bench.sweep()) if isinstance(write, Create)] == []


def test_e5_a_restored_contact_takes_the_link_up_and_our_tag_goes() -> None:
    bench = with_deletions("right_to_left")
    link = bench.link()
    bench.take(bench.deleted("office", "card", at=100))
    bench.take(bench.written(only(bench.wait(3), Tag), ADA, at=104, tags=[TRASH]))
    untag = only(bench.take(bench.changed("office", "card", CARD, at=200)), Untag)
    assert (untag.contact_id, untag.tag) == ("cus", TRASH)
    assert bench.take(bench.written(untag, ADA, at=204)) == []
    assert (bench.link().id, bench.link().status, bench.link().left.tag) == (link.id, "active", "none")


def test_e5_a_new_contact_with_the_same_address_takes_the_link_up_and_our_tag_goes() -> None:
    bench = with_deletions("right_to_left")
    link = bench.link()
    bench.take(bench.deleted("office", "card", at=100))
    bench.take(bench.written(only(bench.wait(3), Tag), ADA, at=104, tags=[TRASH]))
    told = writes(bench.take(bench.changed("office", "again", CARD, at=200)) + bench.sweep())
    untag = only(told, Untag)
    assert bench.take(bench.written(untag, ADA, at=204)) == []
    assert (bench.link().id, bench.link().right.contact_id) == (link.id, "again")


def test_e5_a_tag_that_a_person_set_stays() -> None:
    bench = with_deletions("right_to_left")
    bench.take(bench.changed("shop", "cus", ADA, at=50, tags=[TRASH]))
    bench.take(bench.deleted("office", "card", at=100))
    assert writes(bench.wait(3)) == []
    assert writes(bench.take(bench.changed("office", "card", CARD, at=200)) + bench.sweep()) == []
