"""Who is set aside for another contact comes in when that one no longer stands in its way (C4, C7)."""

from __future__ import annotations

from msgspec.structs import replace

from services.contracts.connection import Connection
from services.contracts.contact import Fields, PersonName
from services.contracts.rule import FieldIs, Rule
from services.sync.core import hand
from services.sync.core.hand import Unlinked
from tests.core.bench import ADA, CARD, TWO_WAY, Bench

BOTH = ("ada@example.com", "countess@example.com")
COUNTESS: Fields = {"name": ("Countess",), "email": (BOTH[1],)}
NEW_CARD: Fields = {"n": (PersonName(given="Ada", family="Nova"),), "email": (BOTH[0],)}
KNOWN: Connection = replace(
    TWO_WAY,
    rules=(Rule(source="left", conditions=(FieldIs(path="description", operator="equals", values=("known",)),)),),
)


def unlinked() -> Bench:
    """`cus` was unlinked from `card`, which has its address and is linked with `other` by another one."""
    bench = Bench(scanned=frozenset())  # nothing is created here: it is about matching alone
    bench.take(bench.changed("shop", "cus", ADA), bench.changed("office", "card", {**CARD, "email": BOTH}))
    bench.take(bench.changed("shop", "other", COUNTESS, at=10))
    link = bench.link_of("shop", "cus")
    for command in bench.sent:
        bench.take(bench.written(command, {**CARD, "email": BOTH}, at=12))  # type: ignore[arg-type]
    said = hand.part(bench.state, bench.state.configs[TWO_WAY.name], link.id)
    assert isinstance(said, Unlinked)
    bench.sweep()
    assert bench.link_of("shop", "other").right.contact_id == "card"
    assert bench.link_of("shop", "cus").status == "outside"
    return bench


def test_c4_c7_a_duplicate_of_the_contact_that_one_was_unlinked_from_is_not_matched_whoever_is_seen_last() -> None:
    bench = unlinked()
    bench.take(bench.changed("office", "new", NEW_CARD, at=100))
    assert bench.link_of("office", "new").status == "duplicate"
    bench.take(bench.changed("shop", "cus", {**ADA, "name": ("Ada Byron",)}, at=200))
    assert bench.link_of("shop", "cus").status == "outside"
    assert bench.link_of("office", "new").status == "duplicate"


def test_c4_c7_both_come_in_when_that_one_gives_the_address_up() -> None:
    bench = unlinked()
    bench.take(bench.changed("office", "new", NEW_CARD, at=100))
    bench.take(bench.changed("office", "card", {**CARD, "email": BOTH[1:]}, at=200))
    bench.sweep()
    assert bench.link_of("shop", "cus").right.contact_id == "new"


def test_c4_a_blocker_that_no_rule_takes_any_more_lets_the_next_in() -> None:
    bench = Bench(scanned=frozenset(), connection=KNOWN)
    known: Fields = {**ADA, "description": ("known",)}
    bench.take(bench.changed("shop", "cus", known), bench.changed("shop", "twin", known, at=1))
    assert bench.link_of("shop", "twin").status == "duplicate"
    bench.take(bench.changed("shop", "cus", ADA, at=50))
    bench.sweep()
    assert bench.link_of("shop", "cus").status == "outside"
    assert bench.link_of("shop", "twin").status == "pairing"
