"""Fails when an unsubscribe isn't shown as a tag where that is wanted, or is shown where it isn't (E7)."""

import pytest
from msgspec.structs import replace

from services.contracts.app import UNSUBSCRIBES, Ability
from services.contracts.commands import Tag, Untag
from services.contracts.connection import Deletions
from services.contracts.events import ContactChanged
from tests.core.bench import ADA, BOOK, CARD, SHOP, TWO_WAY, Bench, only, writes

MAILER = replace(SHOP, abilities=SHOP.abilities | {Ability.DETECT_UNSUBSCRIBE})
"""An app that reports unsubscribes: none of those there are does."""


def bench(option: Deletions = "left_to_right") -> Bench:
    made = Bench(
        connection=replace(TWO_WAY, options=replace(TWO_WAY.options, sync_unsubscribes=option)),
        manifests={"shop": MAILER, "office": BOOK},
    )
    made.paired(ADA, CARD)
    return made


def told(at: Bench, moment: float, *, unsubscribed: bool) -> ContactChanged:
    event = at.changed("shop", "cus", ADA, at=moment)
    return replace(event, contact=replace(event.contact, unsubscribed=unsubscribed))


def test_e7_an_unsubscribe_tags_the_partner_once_and_nothing_else() -> None:
    at = bench()
    tag = only(at.take(told(at, 100, unsubscribed=True)), Tag)
    assert (tag.aim.account, tag.contact_id, tag.tag) == ("office", "card", UNSUBSCRIBES)
    assert at.take(at.written(tag, CARD, at=110, tags=[UNSUBSCRIBES])) == []
    assert at.take(told(at, 120, unsubscribed=True)) == []


def test_e7_who_subscribes_again_loses_the_tag_that_we_set() -> None:
    at = bench()
    tag = only(at.take(told(at, 100, unsubscribed=True)), Tag)
    at.take(at.written(tag, CARD, at=110, tags=[UNSUBSCRIBES]))
    assert only(at.take(told(at, 120, unsubscribed=False)), Untag).tag == UNSUBSCRIBES


def test_e7_a_person_who_removes_the_tag_has_the_last_word() -> None:
    at = bench()
    tag = only(at.take(told(at, 100, unsubscribed=True)), Tag)
    at.take(at.written(tag, CARD, at=110, tags=[UNSUBSCRIBES]))
    assert at.take(at.changed("office", "card", CARD, at=120)) == []
    assert at.take(told(at, 130, unsubscribed=True)) == []


@pytest.mark.parametrize("option", ["none", "right_to_left"])
def test_e7_only_where_the_option_says_so(option: Deletions) -> None:
    at = bench(option)
    assert writes(at.take(told(at, 100, unsubscribed=True))) == []
