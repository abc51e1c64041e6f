"""Undoing what rules did while something else is under way (SEMANTICS B9, B7, E4, E5)."""

from services.contracts.commands import Create, Tag, Untag, Update
from services.contracts.envelope import derived
from services.contracts.receipts import Deferred, Refused, Stale, Written
from services.contracts.rule import HasTag, Rule, SetTag
from services.sync.core.issue import RESEND
from tests.core.bench import CARD, answer, only, phone, writes
from tests.core.scene import (
    ADA,
    ALL_BACK,
    GOLD,
    IS_GOLD,
    MEMBER,
    VIP,
    Scene,
    alone,
    gold,
    left,
    pair_of,
    right,
)

SYNCED = HasTag(name="Synced")
NO_OLD = SetTag(name="Old", present=False)


def vip(*others: Rule) -> Scene:
    """A gold pair with the rule's tag and text in the office; it stays in the sync without the rule."""
    return pair_of(gold(VIP, MEMBER), *others, ALL_BACK)


def test_b9_an_action_in_flight_is_undone_after_its_receipt() -> None:
    scene = pair_of(gold(VIP), ALL_BACK, shop=ADA)
    tag = only(scene.person("shop", "cus", GOLD), Tag)
    assert scene.person("shop", "cus", ADA) == []
    done = scene.carry_out([tag])
    assert [type(each) for each in done] == [Tag, Untag]
    assert scene.tagged("office", "card") == set()


def test_b9_an_undo_in_flight_is_followed_by_the_action_if_it_is_wanted_again() -> None:
    scene = pair_of(gold(VIP), ALL_BACK)
    untag = only(scene.person("shop", "cus", ADA), Untag)
    assert scene.person("shop", "cus", GOLD) == []
    done = scene.carry_out([untag])
    assert [type(each) for each in done] == [Untag, Tag]
    assert scene.tagged("office", "card") == {"VIP"}


def test_b9_an_undo_waits_for_the_write_that_is_under_way() -> None:
    scene = pair_of(gold(VIP))
    update = only(scene.person("shop", "cus", {**GOLD, "phone": phone("55")}), Update)
    assert scene.person("shop", "cus", {**ADA, "phone": phone("55")}) == []
    assert isinstance(only(scene.answer(update), Untag), Untag)


def test_b9_the_partner_that_is_being_made_is_never_tagged_if_it_is_over_by_then() -> None:
    scene = alone(gold(VIP))
    create = only(scene.person("shop", "cus", GOLD), Create)
    scene.person("shop", "cus", ADA)
    assert scene.answer(create) == []


def test_b9_a_refused_undo_rests_and_the_contact_is_outside() -> None:
    scene = pair_of(gold(VIP))
    untag = only(scene.person("shop", "cus", ADA), Untag)
    assert scene.bench.take(answer(untag, Refused(reason="no"))) == []
    assert scene.link().status == "outside"
    assert writes(scene.bench.wait(86_400)) == []


def test_b9_an_undo_put_off_or_stale_is_decided_anew() -> None:
    scene = pair_of(gold(VIP))
    untag = only(scene.person("shop", "cus", ADA), Untag)
    again = only(scene.bench.take(answer(untag, Deferred(reason="config"))), Untag)
    seen = scene.bench.written(again, CARD, at=scene.at + 20, tags=["VIP", "Mine"]).outcome
    assert isinstance(seen, Written)
    assert seen.seen is not None
    scene.tags["office", "card"] = frozenset({"VIP", "Mine"})
    scene.at += 20
    last = scene.bench.take(answer(again, Stale(seen=seen.seen)))
    scene.carry_out(last)
    assert scene.tagged("office", "card") == {"Mine"}


def test_p12_an_undo_whose_receipt_is_lost_is_sent_again_under_its_version() -> None:
    scene = pair_of(gold(VIP))
    untag = only(scene.person("shop", "cus", ADA), Untag)
    again = only(scene.bench.wait(RESEND / 1_000_000), Untag)
    assert again.aim == untag.aim


def test_a6_an_undo_waits_for_the_end_of_a_pause() -> None:
    scene = pair_of(gold(VIP))
    scene.bench.configure(paused=True)
    assert scene.person("shop", "cus", ADA) == []
    assert isinstance(only(scene.bench.resume(), Untag), Untag)


def test_b7_a_deletion_while_the_contact_is_leaving_isnt_tagged() -> None:
    scene = pair_of(gold(SetTag(name="A"), SetTag(name="B")))
    untag = only(scene.person("shop", "cus", ADA), Untag)
    scene.at += 100
    scene.bench.take(scene.bench.deleted("shop", "cus", at=scene.at))
    told = scene.bench.wait(3) + scene.answer(untag) + scene.bench.wait(3600)
    assert [each for each in told if isinstance(each, Tag)] == []


def test_p14_a_text_gives_way_to_a_persons_that_it_overwrote_unseen() -> None:
    rule = Rule(source="right", conditions=(IS_GOLD,), actions=(MEMBER,), undo=True)
    for echo_first in (True, False):
        scene = pair_of(left(), rule, shop=ADA)
        update = only(scene.person("office", "card", {**CARD, "tier": ("gold",)}), Update)
        label = derived("write", update.aim.link, "left", update.aim.version.incarnation, update.aim.version.n)
        scene.fields["shop", "cus"] = {**ADA, "memo": ("typed a moment before",)}
        prior = scene.fields["shop", "cus"]
        echo = {**ADA, "memo": ("member",)}
        if not echo_first:
            assert scene.answer(update) == []
        scene.at += 10
        news = scene.bench.changed("shop", "cus", echo, at=scene.at, prior={"memo": prior["memo"]}, label=label)
        assert scene.bench.take(news) == []
        if echo_first:
            scene.at += 10
            assert scene.answer(update) == []
        scene.carry_out(scene.person("office", "card", CARD))
        assert scene.fields["shop", "cus"]["memo"] == ("typed a moment before",), echo_first


def test_e4_a_survivor_isnt_used_though_its_partner_was_deleted_outside() -> None:
    for account, contact_id in (("office", "card"), ("shop", "cus")):
        scene = pair_of(gold(), right(SYNCED))
        scene.carry_out(scene.person("shop", "cus", ADA))
        assert writes(scene.gone(account, contact_id)) == []
        if account == "office":
            assert scene.carry_out(scene.person("shop", "cus", GOLD)) == []
        else:
            assert scene.carry_out(scene.person("office", "card", tags=["Synced"])) == []
        assert writes(scene.bench.wait(86_400)) == []


def test_e5_a_contact_deleted_outside_that_comes_back_is_taken_up() -> None:
    scene = pair_of(gold(VIP))
    scene.carry_out(scene.person("shop", "cus", ADA))
    scene.gone("office", "card")
    assert scene.carry_out(scene.person("office", "again", CARD)) == []
    (tag,) = scene.carry_out(scene.person("shop", "cus", GOLD))
    assert isinstance(tag, Tag)
    assert scene.link().right.contact_id == "again"
