"""`exists_on_other_side` (SEMANTICS B6): asked once for each contact and connection, before pairing, and kept."""

import pytest
from msgspec.structs import replace

from services.contracts.app import Ability
from services.contracts.commands import Create, Find, Update
from services.contracts.contact import Fields
from services.contracts.rule import OnOtherSide
from services.sync.core.take import Reconsider
from tests.core.bench import CARD, absent, found, only, writes
from tests.core.scene import ADA, GOLD, IS_GOLD, MANIFESTS, TIERED_BOOK, Scene, alone, left, pair_of, right

ASKED = {**MANIFESTS, "office": replace(TIERED_BOOK, abilities=TIERED_BOOK.abilities | {Ability.FIND_SEES_MORE})}
THERE, NOT_THERE = OnOtherSide(), OnOtherSide(present=False)
BOB: Fields = {**CARD, "email": ("bob@example.com",)}


def outside(scene: Scene, account: str, contact_id: str) -> bool:
    return scene.bench.link_of(account, contact_id).status == "outside"


# An account whose feed shows all that there is ---------------------------------------------------------------


def test_b6_who_exists_on_the_other_side_is_paired() -> None:
    scene = pair_of(left(THERE), shop=ADA)
    assert scene.link().paired
    assert scene.link().left.there is not False


def test_b6_who_doesnt_exist_there_stays_out() -> None:
    scene = alone(left(THERE))
    assert scene.person("shop", "cus", ADA) == []
    assert outside(scene, "shop", "cus")
    assert scene.link().left.there is False
    assert scene.bench.state.decisions[-1].reason == "rule 1 doesn't match: exists on the other side"


def test_b6_who_doesnt_exist_there_is_created_by_the_negated_condition() -> None:
    scene = alone(left(NOT_THERE))
    create = only(scene.person("shop", "cus", ADA), Create)
    assert create.aim.account == "office"


def test_b6_who_exists_there_stays_out_by_the_negated_condition() -> None:
    scene = alone(left(NOT_THERE))
    scene.carry_out(scene.person("office", "card", CARD))
    assert scene.carry_out(scene.person("shop", "cus", ADA)) == []
    assert outside(scene, "shop", "cus")
    assert outside(scene, "office", "card")


def test_b6_the_pair_that_the_negated_condition_made_stays_in_the_sync() -> None:
    scene = alone(left(NOT_THERE))
    scene.carry_out(scene.person("shop", "cus", ADA))
    update = only(scene.person("shop", "cus", {**ADA, "description": ("VIP",)}), Update)
    assert update.fields == {"note": ("VIP",)}
    assert scene.link().left.there is False


@pytest.mark.parametrize("condition", [THERE, NOT_THERE])
def test_b6_the_answer_is_kept_when_the_other_contact_appears_later(condition: OnOtherSide) -> None:
    scene = alone(left(condition, IS_GOLD))
    scene.carry_out(scene.person("shop", "cus", GOLD if condition is THERE else ADA))
    scene.carry_out(scene.person("office", "card", CARD))
    expected = "the answer was: nobody" if condition is THERE else "never asked while another condition failed"
    assert outside(scene, "shop", "cus"), expected
    assert scene.written == []


def test_b6_the_answer_is_kept_when_the_other_contact_has_gone_again() -> None:
    scene = alone(left(THERE, IS_GOLD))
    scene.carry_out(scene.person("office", "card", CARD))
    scene.carry_out(scene.person("shop", "cus", ADA))
    assert scene.bench.link_of("shop", "cus").left.there is not False
    scene.gone("office", "card")
    create = only(scene.person("shop", "cus", GOLD), Create)
    assert create.aim.account == "office"


def test_b6_it_is_asked_only_after_both_first_scans() -> None:
    scene = alone(left(THERE))
    scene.bench.state.scanned = frozenset({"shop"})
    assert scene.person("shop", "cus", ADA) == []
    assert scene.link().left.there is None
    wait = scene.link().wait
    assert wait is not None
    assert (wait.reason, wait.on) == ("scan", "office")
    assert scene.person("office", "card", CARD) == []
    assert scene.link().paired


def test_b6_either_sides_own_answer_counts_for_its_rules() -> None:
    scene = alone(right(THERE))
    assert scene.person("office", "card", CARD) == []
    assert outside(scene, "office", "card")
    assert scene.person("shop", "cus", ADA) == []
    assert outside(scene, "office", "card"), "the office's contact was asked before the shop's existed"


def test_b6_with_another_rule_that_matches_nothing_has_to_be_known() -> None:
    scene = alone(left(THERE), left(IS_GOLD))
    assert isinstance(only(scene.person("shop", "cus", GOLD), Create), Create)


# An account that sees more than its feed ----------------------------------------------------------------------


def test_b6_where_a_find_sees_more_the_account_is_asked() -> None:
    scene = alone(left(THERE), manifests=ASKED)
    find = only(scene.person("shop", "cus", ADA), Find)
    assert (find.account, find.address) == ("office", "ada@example.com")
    assert scene.bench.take(absent(find)) == []
    assert outside(scene, "shop", "cus")


def test_b6_a_hit_pairs_by_the_condition_and_keeps_out_by_its_negation() -> None:
    for condition, paired in ((THERE, True), (NOT_THERE, False)):
        scene = alone(left(condition), manifests=ASKED)
        find = only(scene.person("shop", "cus", ADA), Find)
        scene.at += 10
        scene.bench.take(scene.bench.changed("office", "card", CARD, at=scene.at, origin="find"))
        told = scene.bench.take(found(find, "card")) + scene.bench.wait(10)
        assert writes(told) == []
        assert scene.bench.link_of("shop", "cus").paired is paired
        assert scene.bench.link_of("shop", "cus").left.there is not False


def test_b6_an_absence_creates_by_the_negation() -> None:
    scene = alone(left(NOT_THERE), manifests=ASKED)
    find = only(scene.person("shop", "cus", ADA), Find)
    assert isinstance(only(scene.bench.take(absent(find)), Create), Create)


def test_b6_it_is_asked_once_whatever_changes_and_however_often_it_is_reconsidered() -> None:
    scene = alone(left(THERE), manifests=ASKED)
    find = only(scene.person("shop", "cus", ADA), Find)
    scene.bench.take(absent(find))
    assert scene.person("shop", "cus", {**ADA, "description": ("x",)}) == []
    assert scene.bench.take(Reconsider(link=scene.link().id)) == []
    assert scene.bench.wait(86_400) == []
    assert scene.configure(left(THERE)) == []


def test_b6_nobody_is_asked_while_another_condition_fails() -> None:
    scene = alone(left(THERE, IS_GOLD), manifests=ASKED)
    assert scene.person("shop", "cus", ADA) == []
    assert isinstance(only(scene.person("shop", "cus", GOLD), Find), Find)


def test_b6_a_condition_that_fails_while_it_is_asked_ends_the_question() -> None:
    scene = alone(left(THERE, IS_GOLD), manifests=ASKED)
    find = only(scene.person("shop", "cus", GOLD), Find)
    assert scene.person("shop", "cus", ADA) == []
    assert outside(scene, "shop", "cus")
    assert scene.bench.take(absent(find)) == []
    assert scene.bench.state.reservations == {}


def test_b6_without_an_address_nobody_can_exist_there() -> None:
    nameless: Fields = {"name": ("Ada King",)}
    for condition, made in ((THERE, 0), (NOT_THERE, 1)):
        scene = alone(left(condition))
        options = replace(scene.bench.connection.options, avoid_duplicates=False)
        scene.bench.configure(replace(scene.bench.connection, options=options))
        assert len(scene.person("shop", "cus", nameless)) == made


def test_b6_the_answer_outlives_leaving_and_returning() -> None:
    scene = pair_of(left(THERE, IS_GOLD))
    scene.carry_out(scene.person("shop", "cus", ADA))
    assert scene.link().status == "outside"
    scene.carry_out(scene.person("shop", "cus", GOLD))
    assert scene.link().status == "active"


def test_b6_another_address_isnt_another_question() -> None:
    scene = alone(left(THERE))
    scene.carry_out(scene.person("office", "card", BOB))
    scene.carry_out(scene.person("shop", "cus", ADA))
    assert scene.bench.link_of("shop", "cus").left.there is False
    scene.carry_out(scene.person("shop", "cus", {**ADA, "email": ("bob@example.com",)}))
    assert scene.written == []
    assert outside(scene, "shop", "cus")


def test_b6_each_contact_keeps_its_own_answer() -> None:
    scene = alone(left(IS_GOLD), right(THERE))
    scene.carry_out(scene.person("office", "card", CARD))
    assert scene.link().right.there is False
    scene.carry_out(scene.person("shop", "cus", GOLD))
    assert scene.link().paired
    scene.carry_out(scene.person("shop", "cus", ADA))
    assert scene.link().status == "outside", "the office's contact was asked while nobody was there"
