"""Fails when many deletions at once are all tagged, or when two apps that never agree write each other for ever."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.contracts.commands import Tag, Update
from services.contracts.contact import Fields
from services.sync.core.brake import WINDOW
from tests.core.bench import ADA, CARD, TWO_WAY, Bench, only, phone, tel, writes

MINUTE = 60


def many(count: int, *, active: int | None = None) -> Bench:
    """A bench with so many pairs that agree."""
    bench = Bench(scanned=frozenset())
    for n in range(count):
        fields: Fields = {"email": (f"p{n}@example.com",)}
        bench.take(bench.changed("shop", f"cus{n}", fields), bench.changed("office", f"card{n}", fields))
    assert writes(bench.finish_scan("shop") + bench.finish_scan("office")) == []
    assert all(link.paired for link in bench.links() if link.status != "ended")
    bench.state.active = {bench.connection.name: count if active is None else active}
    return bench


def delete(bench: Bench, *numbers: int, at: float = 100) -> None:
    for n in numbers:
        bench.take(bench.deleted("office", f"card{n}", at=at))


def tagged(bench: Bench) -> set[str]:
    return {each.contact_id for each in bench.sent if isinstance(each, Tag)}


def test_e6_the_first_19_deletions_are_tagged_at_once() -> None:
    bench = many(25, active=25)
    delete(bench, *range(19))
    bench.wait(2)
    assert tagged(bench) == {f"cus{n}" for n in range(19)}


def test_e6_the_rest_is_tagged_at_the_close_if_they_are_few_among_all() -> None:
    bench = many(25, active=100)
    delete(bench, *range(25))
    bench.wait(2)
    assert len(tagged(bench)) == 19
    bench.wait(9 * MINUTE)
    assert len(tagged(bench)) == 19
    bench.wait(MINUTE)
    assert len(tagged(bench)) == 25


def test_e6_at_30_percent_those_that_wait_are_held_for_a_person() -> None:
    bench = many(30, active=100)
    delete(bench, *range(29))
    bench.wait(2)
    assert {link.wait.reason for link in bench.links() if link.wait is not None} == {"deletions"}
    delete(bench, 29)
    bench.wait(2)
    bench.wait(60 * MINUTE)
    assert len(tagged(bench)) == 19
    waiting = [link for link in bench.links() if link.wait is not None and link.wait.reason == "deletions"]
    assert len(waiting) == 11
    assert all(link.reconsider_at is None for link in waiting)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.integers(min_value=20, max_value=60), st.data())
def test_e6_a_burst_of_30_percent_always_trips_the_brake_and_one_below_never_does(
    burst: int, data: st.DataObject
) -> None:
    """Whatever the order and however many at once: nothing beyond the first 19 is tagged before the verdict."""
    trips = data.draw(st.booleans())
    most = burst * 10 // 3  # of so many contacts the burst is 30 % or just above
    bench = many(burst, active=data.draw(st.integers(burst, most)) if trips else most + 1)
    order = data.draw(st.permutations(range(burst)))
    first = data.draw(st.integers(0, burst))
    delete(bench, *order[:first])
    bench.wait(data.draw(st.integers(0, 5 * MINUTE)))
    delete(bench, *order[first:])
    bench.wait(3)
    assert len(tagged(bench)) == 19
    bench.wait(10 * MINUTE)
    assert len(tagged(bench)) == (19 if trips else burst)


@pytest.mark.parametrize(("said", "more"), [(True, 11), (False, 0)])
def test_e6_a_persons_word_decides_about_those_that_are_held(said: bool, more: int) -> None:
    bench = many(30, active=30)
    delete(bench, *range(30))
    bench.wait(2)
    assert len(tagged(bench)) == 19
    ((opened, window),) = bench.state.windows[bench.connection.name].items()
    assert (window.count, window.active) == (30, 30)
    bench.state.windows[bench.connection.name][opened] = replace(window, said=said)
    bench.wake("deletions")
    assert len(tagged(bench)) == 19 + more
    assert not [link for link in bench.links() if link.wait is not None]
    bench.wait(60 * MINUTE)
    assert len(tagged(bench)) == 19 + more


def test_e6_a_window_closes_after_ten_minutes_and_the_next_counts_anew() -> None:
    bench = many(38, active=38)
    delete(bench, *range(19))
    bench.wait(2)
    bench.wait(WINDOW / 1_000_000)
    delete(bench, *range(19, 38), at=1000)
    bench.wait(2)
    assert len(tagged(bench)) == 38
    assert len(bench.state.windows[bench.connection.name]) == 2


def test_e6_a_deletion_is_counted_once_however_often_it_is_seen() -> None:
    bench = many(3, active=100)
    delete(bench, 0)
    delete(bench, 0, at=101)
    bench.wait(2)
    delete(bench, 0, at=102)
    (window,) = bench.state.windows[bench.connection.name].values()
    assert window.count == 1


def test_e6_who_comes_back_while_it_waits_is_not_tagged() -> None:
    bench = many(25, active=100)
    delete(bench, *range(25))
    bench.wait(2)
    bench.take(bench.changed("office", "card24", {"email": ("p24@example.com",)}, at=200))
    bench.wait(10 * MINUTE)
    assert "cus24" not in tagged(bench)
    assert len(tagged(bench)) == 24


# Written again and again --------------------------------------------------------------------------------------


def quarrel(bench: Bench, times: int) -> int:
    """Two apps that never agree: each change of one is taken back by the other's own automatism."""
    bench.paired(ADA, CARD)
    for turn in range(times):
        at = 100 + 10 * turn
        number = str(50 + turn)
        told = bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone(number)}, at=at))
        if not told:
            return turn
        bench.take(bench.written(only(told, Update), {**CARD, "tel": tel(number)}, at=at + 1))
    return times


def test_f3_a_side_written_12_times_in_10_minutes_is_held() -> None:
    bench = Bench()
    assert quarrel(bench, 20) == 12
    assert bench.link().right.stopped is not None
    assert bench.state.decisions[-1].outcome == "held"
    assert writes(bench.wait(60 * MINUTE)) == []


def test_f3_less_often_it_is_written_as_long_as_one_likes() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    for turn in range(40):
        number = str(50 + turn)
        told = bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone(number)}, at=100 + 100 * turn))
        bench.take(bench.written(only(told, Update), {**CARD, "tel": tel(number)}, at=101 + 100 * turn))
        bench.wait(MINUTE)
    assert bench.link().right.stopped is None


def test_f3_the_other_side_goes_on_and_the_limit_is_an_option() -> None:
    bench = Bench()
    quarrel(bench, 20)
    back = bench.take(bench.changed("office", "card", {**CARD, "tel": tel("61"), "note": ("VIP",)}, at=900))
    assert [write.aim.side for write in writes(back)] == ["left"]
    free = Bench(connection=replace(TWO_WAY, options=replace(TWO_WAY.options, most_writes=0)))
    assert quarrel(free, 40) == 40
    five = Bench(connection=replace(TWO_WAY, options=replace(TWO_WAY.options, most_writes=5)))
    assert quarrel(five, 40) == 5
