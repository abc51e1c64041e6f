"""P14 where the app has no lock: what a write of ours overwrote is noticed by its echo and put back.

Red without `notice` (the edit is lost), without `restores` (it is written over again), without the winner's rule
(an edit that has lost comes back), and without the check that the field still holds what we wrote.
"""

from msgspec.structs import replace

from services.contracts.commands import Update
from services.contracts.contact import Contact, Fields
from services.contracts.envelope import derived
from services.contracts.events import ContactChanged
from services.contracts.receipts import Deferred, Observation, Stale
from tests.core.bench import ADA, CARD, TWO_WAY, Bench, answer, only, order, phone, tel, writes

NOTED: Fields = {**ADA, "description": ("before",)}
CARDED: Fields = {**CARD, "note": ("before",)}


def key(write: Update) -> str:
    """The idempotency key under which the connector sends a write."""
    return derived("write", write.aim.link, write.aim.side, write.aim.version.incarnation, write.aim.version.n)


def raced(bench: Bench) -> Update:
    """Somebody types `typed` in the shop a moment before our write of the office's `ours` arrives there."""
    bench.paired(NOTED, CARDED)
    update = only(bench.take(bench.changed("office", "card", {**CARDED, "note": ("ours",)}, at=100)), Update)
    assert (update.aim.account, update.fields) == ("shop", {"description": ("ours",)})
    return update


def echo(bench: Bench, write: Update, *, stood: str, now: str = "ours", at: float = 110) -> list[Update]:
    """The event of our own write: what stood before, what stands now."""
    told = bench.changed(
        "shop",
        "cus",
        {**ADA, "description": (now,)},
        at=at,
        until=at + 2,
        prior={"description": (stood,)},
        label=key(write),
    )
    return [each for each in writes(bench.take(told)) if isinstance(each, Update)]


def test_p14_an_edit_that_our_write_overwrote_is_put_back_and_reaches_the_other_side() -> None:
    bench = Bench()
    update = raced(bench)
    assert echo(bench, update, stood="typed") == []
    back = only(bench.take(bench.written(update, {**ADA, "description": ("ours",)}, at=111)), Update)
    assert (back.aim.account, back.fields) == ("shop", {"description": ("typed",)})
    onward = only(bench.take(bench.written(back, {**ADA, "description": ("typed",)}, at=120)), Update)
    assert (onward.aim.account, onward.fields) == ("office", {"note": ("typed",)})
    assert bench.take(bench.written(onward, {**CARDED, "note": ("typed",)}, at=130)) == []
    assert echo(bench, back, stood="ours", now="typed", at=120) == []
    assert writes(bench.wait(3600)) == []


def test_p14_an_echo_that_comes_after_the_receipt_is_heeded_too() -> None:
    bench = Bench()
    update = raced(bench)
    assert bench.take(bench.written(update, {**ADA, "description": ("ours",)}, at=111)) == []
    (back,) = echo(bench, update, stood="typed")
    assert back.fields == {"description": ("typed",)}


def test_p14_an_echo_that_shows_what_was_expected_changes_nothing() -> None:
    bench = Bench()
    update = raced(bench)
    assert bench.take(bench.written(update, {**ADA, "description": ("ours",)}, at=111)) == []
    assert echo(bench, update, stood="before") == []
    assert echo(bench, update, stood="typed") == []  # the echo is over: a second one is somebody's replay


def test_p14_the_winners_value_stays_where_the_overwritten_edit_has_lost() -> None:
    bench = Bench(connection=replace(TWO_WAY, winner="right"))
    update = raced(bench)
    assert echo(bench, update, stood="typed") == []
    assert bench.take(bench.written(update, {**ADA, "description": ("ours",)}, at=111)) == []


def test_p14_somebody_elses_edit_is_no_echo() -> None:
    bench = Bench()
    update = raced(bench)
    assert bench.take(bench.written(update, {**ADA, "description": ("ours",)}, at=111)) == []
    theirs = bench.changed(
        "shop", "cus", {**ADA, "description": ("new",)}, at=200, prior={"description": ("ours",)}, label="another"
    )
    assert only(bench.take(theirs), Update).fields == {"note": ("new",)}


def test_p14_an_edit_made_since_counts_and_the_memory_goes() -> None:
    bench = Bench()
    update = raced(bench)
    assert echo(bench, update, stood="typed") == []
    newer = bench.changed("shop", "cus", {**ADA, "description": ("newer",)}, at=200)
    assert writes(bench.take(newer)) == []
    onward = bench.take(bench.written(update, {**ADA, "description": ("ours",)}, at=111))
    assert only(onward, Update).fields == {"note": ("newer",)}


def test_p14_a_restoring_write_that_is_deferred_is_sent_again() -> None:
    bench = Bench()
    update = raced(bench)
    assert echo(bench, update, stood="typed") == []
    back = only(bench.take(bench.written(update, {**ADA, "description": ("ours",)}, at=111)), Update)
    again = only(bench.take(answer(back, Deferred(reason="config"))), Update)
    assert again.fields == {"description": ("typed",)}


def test_p14_an_overwritten_email_is_put_back_without_asking() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.changed("office", "card", {**CARD, "email": ("ours@example.com",)}, at=100))
    update = only(bench.say("left", "email", approved=True), Update)
    told = bench.changed(
        "shop",
        "cus",
        {**ADA, "email": ("ours@example.com",)},
        at=110,
        until=112,
        prior={"email": ("typed@example.com",)},
        label=key(update),
    )
    assert writes(bench.take(told)) == []
    back = only(bench.take(bench.written(update, {**ADA, "email": ("ours@example.com",)}, at=111)), Update)
    assert (back.aim.account, back.fields) == ("shop", {"email": ("typed@example.com",)})


def test_p14_an_edit_that_the_restoring_write_overwrote_comes_back_though_its_echo_is_first() -> None:
    def echoed(write: Update, stood: str, at: float) -> ContactChanged:
        now = {**ADA, **write.fields}
        return bench.changed("shop", "cus", now, at=at, prior={"phone": phone(stood)}, label=key(write))

    bench = Bench()
    bench.paired(ADA, CARD)
    ours = only(bench.take(bench.changed("office", "card", {**CARD, "tel": tel("22")}, at=100)), Update)
    assert bench.take(echoed(ours, "33", 110)) == []
    restore = only(bench.take(bench.written(ours, {**ADA, "phone": tel("22")}, at=110.5)), Update)
    assert restore.fields == {"phone": phone("33")}
    assert bench.take(echoed(restore, "44", 120)) == []
    told = writes(bench.take(bench.written(restore, {**ADA, "phone": phone("33")}, at=120.5)))
    back = [each.fields for each in told if isinstance(each, Update) and each.aim.account == "shop"]
    assert back == [{"phone": phone("44")}]


def test_p14_a_late_echo_puts_nothing_back_over_an_edit_that_both_sides_agreed_on_since() -> None:
    bench = Bench()
    update = raced(bench)
    assert bench.take(bench.written(update, {**ADA, "description": ("ours",)}, at=111)) == []
    newer = {**ADA, "description": ("newer",)}
    onward = only(bench.take(bench.changed("shop", "cus", newer, at=150)), Update)
    assert bench.take(bench.written(onward, {**CARDED, "note": ("newer",)}, at=155)) == []
    # The echo of the first write comes at last: `typed` was overwritten then, and has been overruled since.
    assert echo(bench, update, stood="typed", at=110) == []
    assert writes(bench.wait(3600)) == []


def test_p14_a_late_echo_puts_nothing_back_over_a_later_edit_that_was_put_back_before_it() -> None:
    bench = Bench()
    first = raced(bench)
    assert bench.take(bench.written(first, {**ADA, "description": ("ours",)}, at=111)) == []
    second = only(bench.take(bench.changed("office", "card", {**CARDED, "note": ("again",)}, at=120)), Update)
    assert echo(bench, second, stood="later", now="again", at=125) == []
    back = only(bench.take(bench.written(second, {**ADA, "description": ("again",)}, at=126)), Update)
    assert back.fields == {"description": ("later",)}
    onward = only(bench.take(bench.written(back, {**ADA, "description": ("later",)}, at=130)), Update)
    assert bench.take(bench.written(onward, {**CARDED, "note": ("later",)}, at=135)) == []
    # The echo of the first write comes at last: whoever typed `later` had seen what it put in place of `typed`.
    assert echo(bench, first, stood="typed", at=110) == []
    assert writes(bench.wait(3600)) == []


def test_p14_a_late_echo_puts_an_edit_back_though_we_have_written_once_more_since() -> None:
    bench = Bench()
    update = raced(bench)
    assert bench.take(bench.written(update, {**ADA, "description": ("ours",)}, at=111)) == []
    second = only(bench.take(bench.changed("office", "card", {**CARDED, "note": ("again",)}, at=120)), Update)
    assert bench.take(bench.written(second, {**ADA, "description": ("again",)}, at=125)) == []
    back = echo(bench, update, stood="typed", at=110)
    assert [each.fields for each in back] == [{"description": ("typed",)}]


def test_p4_a_write_whose_echo_was_seen_was_applied_whatever_its_receipt_says() -> None:
    bench = Bench()
    update = raced(bench)
    assert echo(bench, update, stood="before") == []
    # Its answer was lost. A person, who has seen ours, edits the field; only then the app is asked.
    edited = {**ADA, "description": ("a person's",)}
    assert writes(bench.take(bench.changed("shop", "cus", edited, at=120))) == []
    stale = Stale(seen=Observation(contact_id="cus", order=order(130), contact=Contact(fields=edited)))
    onward = only(bench.take(answer(update, stale)), Update)
    assert (onward.aim.account, onward.fields) == ("office", {"note": ("a person's",)})
