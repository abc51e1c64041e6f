"""What becomes of an action that is refused, stale, put off, unknown, lost or answered twice (SEMANTICS B8, P1-P15)."""

import pytest
from msgspec.structs import replace

from services.contracts.commands import Look, Tag, Update
from services.contracts.receipts import Deferred, Refused, Stale, Unknown, Written
from services.contracts.rule import PermitEmail, Rule, SetTag, SetText
from services.sync.core.issue import RESEND
from services.sync.core.take import Reconsider
from tests.core.bench import CARD, answer, looks, only, phone
from tests.core.scene import (
    ADA,
    ALL_BACK,
    GOLD,
    IS_GOLD,
    MEMBER,
    VIP,
    Scene,
    gold,
    left,
    pair_of,
)

NO_OLD = SetTag(name="Old", present=False)
INTO_SHOP = Rule(source="right", actions=(MEMBER, SetTag(name="VIP")))
SEEN_OFTEN = {**GOLD, "description": ("seen",)}


def becoming_gold(*rules: Rule, tags: tuple[str, ...] = ()) -> Scene:
    """A pair that a gold rule doesn't take yet: whatever it does is begun when the shop's contact becomes gold."""
    return pair_of(*(rules or (gold(VIP),)), ALL_BACK, shop=ADA, tags=tags)


def test_p15_a_refused_action_rests_and_the_values_go_on() -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    assert scene.bench.take(answer(tag, Refused(reason="too many labels"))) == []
    assert scene.link().right.refused["tag:VIP"].reason == "too many labels"
    (update,) = scene.carry_out(scene.person("shop", "cus", SEEN_OFTEN))
    assert isinstance(update, Update)
    assert scene.bench.take(Reconsider(link=scene.link().id)) == []
    assert scene.link().right.refused["tag:VIP"].reason == "too many labels"


def test_p15_a_refused_action_doesnt_keep_the_next_from_being_done() -> None:
    scene = becoming_gold(gold(SetTag(name="A"), SetTag(name="B"), MEMBER))
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    done = scene.carry_out(scene.bench.take(answer(tag, Refused(reason="no"))))
    assert [type(each) for each in done] == [Tag, Update]
    assert scene.tagged("office", "card") == {"B"}


def test_p15_a_refused_text_is_sent_again_once_the_config_says_another() -> None:
    scene = becoming_gold(gold(MEMBER))
    update = only(scene.person("shop", "cus", GOLD), Update)
    assert scene.bench.take(answer(update, Refused(reason="no", fields=("memo",)))) == []
    (again,) = scene.carry_out(scene.configure(gold(SetText(path="memo", text="patron")), ALL_BACK))
    assert isinstance(again, Update)
    assert again.fields == {"memo": ("patron",)}
    assert scene.link().right.refused == {}


def test_p15_a_refused_action_is_tried_anew_once_it_was_unwanted() -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    scene.bench.take(answer(tag, Refused(reason="no")))
    assert scene.person("shop", "cus", ADA) == []
    assert isinstance(only(scene.person("shop", "cus", GOLD), Tag), Tag)


def test_b8_a_stale_action_is_decided_anew_from_what_is_there() -> None:
    for tags, again in (((), True), (("VIP",), False)):
        scene = becoming_gold()
        tag = only(scene.person("shop", "cus", GOLD), Tag)
        scene.tags["office", "card"] = frozenset(tags)
        seen = scene.bench.written(tag, CARD, at=scene.at + 20, tags=tags).outcome
        assert isinstance(seen, Written)
        assert seen.seen is not None
        told = scene.bench.take(answer(tag, Stale(seen=seen.seen)))
        assert [type(each) for each in told] == ([Tag] if again else [])


@pytest.mark.parametrize("reason", ["config", "paused", "superseded"])
def test_b8_an_action_put_off_is_decided_anew(reason: str) -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    outcome = replace(Deferred(reason="config"), reason=reason)
    again = only(scene.bench.take(answer(tag, outcome)), Tag)
    assert again.aim.version > tag.aim.version


def test_b8_an_action_put_off_isnt_sent_once_it_is_unwanted() -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    assert scene.person("shop", "cus", ADA) == []
    assert scene.bench.take(answer(tag, Deferred(reason="config"))) == []
    assert scene.link().right.applied == {}


def test_p4_an_unknown_outcome_blocks_that_side_until_it_is_settled() -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    assert scene.bench.take(answer(tag, Unknown(reason="no answer", since=0))) == []
    assert scene.person("shop", "cus", {**GOLD, "phone": phone("55")}) == []
    (update,) = (each for each in scene.carry_out([tag]) if isinstance(each, Update))
    assert update.fields == {"tel": phone("55")}


def test_p12_a_lost_receipt_is_asked_for_with_the_same_version_and_counts_once() -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    again = only(scene.bench.wait(RESEND / 1_000_000), Tag)
    assert again.aim == tag.aim
    assert scene.carry_out([again]) == [again]
    assert scene.bench.take(scene.bench.written(tag, CARD, at=scene.at, tags=["VIP"])) == []
    assert scene.link().right.applied["tag:VIP"].undo


def test_p4_a_replayed_answer_to_an_action_has_the_contact_looked_up() -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    look = only(scene.bench.take(answer(tag, Written(contact_id="card", replayed=True))), Look)
    scene.at += 50
    shown = scene.bench.changed("office", "card", CARD, at=scene.at, tags=["VIP"], look=look.look, origin="look")
    assert scene.bench.take(shown) == []
    scene.tags["office", "card"] = frozenset({"VIP"})
    scene.carry_out(scene.person("shop", "cus", ADA))
    assert scene.tagged("office", "card") == set()


def test_p4_a_replayed_answer_whose_tag_a_person_has_removed_since_is_final() -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    look = only(scene.bench.take(answer(tag, Written(contact_id="card", replayed=True))), Look)
    shown = scene.bench.changed("office", "card", CARD, at=scene.at + 50, look=look.look, origin="look")
    assert scene.bench.take(shown) == []
    assert scene.link().right.applied["tag:VIP"].final


def test_b8_a_contact_that_is_gone_is_looked_up_and_not_written_to() -> None:
    scene = becoming_gold()
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    told = scene.bench.take(answer(tag, Refused(reason="gone", gone=True)))
    assert len(looks(told)) == len(told) == 1


def test_a6_an_action_waits_for_the_end_of_a_pause() -> None:
    scene = becoming_gold()
    scene.bench.configure(paused=True)
    assert scene.person("shop", "cus", GOLD) == []
    assert isinstance(only(scene.bench.resume(), Tag), Tag)


def test_a6_an_action_wanted_and_unwanted_during_a_pause_is_never_done() -> None:
    scene = becoming_gold()
    scene.bench.configure(paused=True)
    scene.person("shop", "cus", GOLD)
    scene.person("shop", "cus", ADA)
    assert scene.bench.resume() == []


def test_b8_an_action_is_done_on_a_contact_that_waits_for_an_approval() -> None:
    scene = becoming_gold(Rule(source="right", conditions=(IS_GOLD,), actions=(SetTag(name="VIP"),)), left())
    tag = only(
        scene.person("office", "card", {**CARD, "tier": ("gold",), "email": ("new@example.com",)}),
        Tag,
    )
    assert tag.aim.account == "shop"
    assert "email" in scene.link().left.held


def test_b8_permitting_emails_writes_nothing_by_itself() -> None:
    scene = pair_of(left(), Rule(source="right", actions=(PermitEmail(),), undo=True))
    assert scene.written == []
    assert scene.link().left.applied == {}


def test_b8_the_decision_about_an_action_names_no_value_of_the_contact() -> None:
    scene = pair_of(gold(MEMBER), ALL_BACK, office={**CARD, "memo": ("typed secret",)})
    scene.carry_out(scene.person("shop", "cus", ADA))
    told = " ".join(each.reason for each in scene.bench.state.decisions)
    for held in ("typed", "secret", "ada@", "Ada", "555"):
        assert held not in told
