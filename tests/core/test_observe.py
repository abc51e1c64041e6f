"""Folding observations: fails when order isn't the app's, or when a tie is decided and not looked at (P5, P9, F2)."""

from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts.contact import Contact, Order, Subscription
from services.contracts.events import LookAnswer
from services.sync.core.observe import Folded, Sight, fold, fold_subscription, touch
from services.sync.core.state import Record


def sight(text: str | None, start: int, end: int | None = None, **more: object) -> Sight:
    contact = None if text is None else Contact(fields={"name": (text,)})
    scan, answers = more.get("scan"), more.get("answers")
    subscriptions = more.get("subscriptions")
    return Sight(
        order=Order(start, start if end is None else end),
        contact=contact,
        scan=scan if isinstance(scan, int) else None,
        answers=answers if isinstance(answers, LookAnswer) else None,
        subscriptions=subscriptions if isinstance(subscriptions, tuple) else None,
    )


def folded(*sights: Sight) -> Folded:
    record: Record | None = None
    result: Folded | None = None
    for each in sights:
        result = fold("shop", "cus", record, each)
        record = result.record
    assert result is not None
    return result


def name(record: Record) -> str | None:
    return None if record.contact is None or record.deleted else str(record.contact.fields["name"][0])


def test_p5_wholly_later_applies_and_wholly_earlier_changes_nothing() -> None:
    assert name(folded(sight("a", 10), sight("b", 20)).record) == "b"
    late = folded(sight("b", 20), sight("a", 10))
    assert (name(late.record), late.effect, late.ask) == ("b", "earlier", None)


def test_p5_wholly_earlier_still_counts_as_seen_by_the_scan() -> None:
    seen = folded(sight("b", 20), sight("a", 10, scan=3)).record
    assert (name(seen), seen.scan) == ("b", 3)


def test_p5_a_scan_that_is_over_does_not_hide_that_a_later_one_saw_the_contact() -> None:
    assert folded(sight("a", 20, scan=4), sight("a", 10, scan=3)).record.scan == 4


def test_p5_a_tie_with_equal_content_is_nothing_and_with_other_content_asks_for_a_look() -> None:
    equal = folded(sight("a", 10, 20), sight("a", 15, 25))
    assert (equal.effect, equal.ask, equal.record.order) == ("same", None, Order(15, 25))
    other = folded(sight("a", 10, 20), sight("b", 15, 25))
    assert (other.effect, other.ask, name(other.record)) == ("look", LookAnswer(1, 1), "a")


def test_p5_touching_intervals_overlap() -> None:
    assert folded(sight("a", 10, 20), sight("b", 20, 30)).effect == "look"
    assert folded(sight("a", 10, 20), sight("b", 21, 30)).effect == "later"


def test_p5_versions_compare_as_numbers() -> None:
    assert name(folded(sight("a", 9, 9), sight("b", 10, 10)).record) == "b"
    assert folded(sight("a", 9, 9), sight("b", 9, 9)).effect == "look"


def test_p5_a_deletion_and_an_edit_in_one_second_are_looked_at_both_ways_round() -> None:
    assert folded(sight("a", 10, 20), sight(None, 15, 25)).effect == "look"
    assert folded(sight(None, 15, 25), sight("a", 10, 20)).effect == "look"


def test_p5_a_deletion_seen_before_the_older_edit_stays_a_deletion() -> None:
    assert folded(sight(None, 30), sight("a", 20)).record.deleted
    assert not folded(sight(None, 30), sight("a", 40)).record.deleted


def test_p9_the_answer_counts_as_newer_than_all_that_was_folded_before_the_look_was_decided() -> None:
    asked = folded(sight("a", 10, 20), sight("b", 15, 25)).record
    done = fold("shop", "cus", asked, sight("c", 1, 2, answers=LookAnswer(1, 1)))
    assert (name(done.record), done.record.looking, done.record.order) == ("c", None, Order(10, 20))


def test_p9_an_answer_in_the_tied_second_of_a_later_event_is_asked_again() -> None:
    asked = folded(sight("a", 10, 20), sight("b", 15, 25)).record
    moved = fold("shop", "cus", asked, sight("c", 30, 40))
    assert (moved.effect, moved.ask) == ("later", None)
    tied = fold("shop", "cus", moved.record, sight("b", 35, 45, answers=LookAnswer(1, 1)))
    assert (tied.ask, name(tied.record)) == (LookAnswer(1, 2), "c")
    done = fold("shop", "cus", tied.record, sight("d", 35, 45, answers=LookAnswer(1, 2)))
    assert (name(done.record), done.record.looking) == ("d", None)


def test_p9_an_answer_older_than_what_came_meanwhile_changes_nothing() -> None:
    asked = folded(sight("a", 10, 20), sight("b", 15, 25)).record
    moved = fold("shop", "cus", asked, sight("c", 50, 60)).record
    done = fold("shop", "cus", moved, sight("b", 30, 40, answers=LookAnswer(1, 1)))
    assert (name(done.record), done.record.looking, done.ask) == ("c", None, None)


def test_p9_a_tie_during_a_look_has_it_asked_again_even_if_it_equals_the_record() -> None:
    asked = folded(sight("a", 10, 20), sight("b", 15, 25)).record
    again = fold("shop", "cus", asked, sight("a", 15, 25))
    assert again.ask is None
    answered = fold("shop", "cus", again.record, sight("b", 30, 40, answers=LookAnswer(1, 1)))
    assert answered.ask == LookAnswer(1, 2)
    assert answered.record.looking is not None


def test_p9_one_look_at_a_time_and_one_more_for_all_that_came_meanwhile() -> None:
    asked = folded(sight("a", 10, 20), sight("b", 15, 25)).record
    for text in ("c", "d", "e"):
        result = fold("shop", "cus", asked, sight(text, 12, 22))
        assert result.ask is None
        asked = result.record
    assert touch("shop", "cus", asked, Order(0, 0)).ask is None
    assert fold("shop", "cus", asked, sight("f", 30, 40, answers=LookAnswer(1, 1))).ask == LookAnswer(1, 2)


def test_p9_a_late_answer_to_a_look_that_is_over_is_an_observation_like_any_other() -> None:
    asked = folded(sight("a", 10, 20), sight("b", 15, 25)).record
    done = fold("shop", "cus", asked, sight("b", 30, 40, answers=LookAnswer(1, 1))).record
    later = fold("shop", "cus", done, sight("c", 50, 60)).record
    assert name(fold("shop", "cus", later, sight("b", 30, 40, answers=LookAnswer(1, 1))).record) == "c"


def test_p9_looks_are_numbered_anew_so_that_an_old_answer_settles_nothing() -> None:
    asked = folded(sight("a", 10, 20), sight("b", 15, 25)).record
    done = fold("shop", "cus", asked, sight("b", 15, 25, answers=LookAnswer(1, 1))).record
    second = fold("shop", "cus", done, sight("c", 16, 24))
    assert second.ask == LookAnswer(2, 1)
    late = fold("shop", "cus", second.record, sight("b", 15, 25, answers=LookAnswer(1, 1)))
    assert late.record.looking is not None


def test_p9_an_answer_that_the_contact_is_gone_deletes_it() -> None:
    asked = touch("shop", "cus", folded(sight("a", 10, 20)).record, Order(0, 0)).record
    assert fold("shop", "cus", asked, sight(None, 30, 40, answers=LookAnswer(1, 1))).record.deleted


@given(st.permutations(range(6)), st.lists(st.integers(0, 5), max_size=6), st.sets(st.integers(0, 5)))
@settings(max_examples=150, deadline=None)
def test_f2_any_order_with_any_duplicates_gives_the_same_record(
    sequence: list[int], repeated: list[int], tombstones: set[int]
) -> None:
    sights = [sight(None if n in tombstones else f"v{n}", n * 10, n * 10 + 5, scan=n) for n in range(6)]
    straight = folded(*sights).record
    mixed = folded(*(sights[n] for n in [*sequence, *repeated])).record
    assert (name(mixed), mixed.deleted, mixed.order, mixed.looking) == (
        name(straight),
        straight.deleted,
        straight.order,
        None,
    )


def test_f2_a_contact_that_came_in_any_order_knows_the_same_subscriptions() -> None:
    record = folded(sight("a", 0, 1)).record
    pro, plus = Subscription(id="sub", status="active"), Subscription(id="sub", status="canceled")
    steps = [(pro, Order(10, 15)), (plus, Order(20, 25)), (pro, Order(30, 35))]
    results = set()
    for sequence in permutations(steps):
        now = record
        for subscription, at in (*sequence, *sequence):
            now = fold_subscription(now, subscription, at, ended=False).record
        results.add((now.subscriptions["sub"].subscription.status, now.subscriptions["sub"].order))
        assert now.looking is None
    assert results == {("active", Order(30, 35))}


def test_f2_a_subscription_tie_is_looked_at() -> None:
    record = folded(sight("a", 0, 1)).record
    now = fold_subscription(record, Subscription(id="s", status="active"), Order(10, 20), ended=False).record
    same = fold_subscription(now, Subscription(id="s", status="active"), Order(15, 25), ended=False)
    tied = fold_subscription(now, Subscription(id="s", status="canceled"), Order(15, 25), ended=False)
    assert (same.effect, tied.effect, tied.ask) == ("same", "look", LookAnswer(1, 1))


def test_f2_a_late_event_does_not_bring_back_a_subscription_that_a_newer_look_no_longer_showed() -> None:
    old = Subscription(id="sub", status="active")
    record = folded(sight("a", 0, 1)).record
    record = fold_subscription(record, old, Order(10, 15), ended=False).record
    record = fold("shop", "cus", record, sight("a", 50, 55, subscriptions=())).record
    assert record.subscriptions == {}
    assert fold_subscription(record, old, Order(10, 15), ended=False).record.subscriptions == {}
