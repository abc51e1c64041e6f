"""Rules and the held e-mail (SEMANTICS B1, B10) on the core."""

from msgspec.structs import replace

from services.contracts.commands import Create, Update
from services.contracts.contact import Fields
from services.contracts.receipts import Deferred, Refused
from services.sync.core.state import Base
from services.sync.core.take import Reconsider
from tests.core.bench import ADA, CARD, ONE_WAY, Bench, answer, only, tel, writes

NEW: Fields = {**CARD, "email": ("new@example.com",)}


def held() -> Bench:
    """A pair whose e-mail was changed in the office: it waits for a person."""
    bench = Bench()
    bench.paired(ADA, CARD)
    assert bench.take(bench.changed("office", "card", NEW, at=100)) == []
    assert bench.link().left.held["email"].value == "new@example.com"
    return bench


def test_b1_without_rules_of_its_own_each_side_syncs_all() -> None:
    bench = Bench()
    made = writes(
        bench.take(
            bench.changed("shop", "cus", ADA),
            bench.changed("office", "bob", {**CARD, "email": ("bob@example.com",)}),
        )
    )
    assert [(type(write), write.aim.account) for write in made] == [(Create, "office"), (Create, "shop")]


def test_b10_a_changed_email_into_the_guarded_app_is_held_and_stays_held() -> None:
    bench = held()
    assert bench.take(*(Reconsider(link=bench.link().id) for _ in range(3))) == []
    assert writes(bench.wait(86_400)) == []


def test_b10_other_fields_flow_meanwhile() -> None:
    bench = held()
    update = only(bench.take(bench.changed("office", "card", {**NEW, "tel": tel("55")}, at=200)), Update)
    assert update.fields == {"phone": tel("55")}
    bench.take(bench.written(update, {**ADA, "phone": tel("55")}, at=210))
    assert "email" in bench.link().left.held


def test_b10_an_approved_email_is_written_once() -> None:
    bench = held()
    update = only(bench.say("left", "email", approved=True), Update)
    assert update.fields == {"email": ("new@example.com",)}
    assert update.expected == {"email": ("ada@example.com",)}
    assert bench.take(bench.written(update, {**ADA, "email": ("new@example.com",)}, at=200)) == []
    assert bench.link().left.held == {}
    assert bench.link().base["email"] == Base("new@example.com", "new@example.com")


def test_b10_an_approval_is_for_that_value_only() -> None:
    bench = held()
    bench.configure(paused=True)
    assert bench.say("left", "email", approved=True) == []
    bench.take(bench.changed("office", "card", {**CARD, "email": ("evil@example.com",)}, at=200))
    assert bench.resume() == []
    hold = bench.link().left.held["email"]
    assert (hold.value, hold.approved) == ("evil@example.com", False)


def test_b10_an_approval_outlives_a_deferral() -> None:
    bench = held()
    update = only(bench.say("left", "email", approved=True), Update)
    again = only(bench.take(answer(update, Deferred(reason="superseded"))), Update)
    assert again.fields == {"email": ("new@example.com",)}


def test_b10_an_approved_email_that_the_app_refuses_rests() -> None:
    bench = held()
    update = only(bench.say("left", "email", approved=True), Update)
    assert bench.take(answer(update, Refused(reason="no", fields=("email",)))) == []
    assert bench.take(Reconsider(link=bench.link().id)) == []


def test_b10_a_rejected_email_is_not_asked_again_until_it_changes() -> None:
    bench = held()
    assert bench.say("left", "email", approved=False) == []
    assert bench.link().left.held == {}
    assert bench.take(bench.changed("office", "card", {**NEW, "note": ("x",)}, at=200)) != []
    assert bench.link().left.held == {}
    bench.take(bench.changed("office", "card", {**CARD, "email": ("third@example.com",)}, at=300))
    assert bench.link().left.held["email"].value == "third@example.com"


def test_b10_an_email_put_back_is_no_longer_held() -> None:
    bench = held()
    assert bench.take(bench.changed("office", "card", CARD, at=200)) == []
    assert bench.link().left.held == {}


def test_b10_a_newer_value_replaces_the_held_one_and_its_age() -> None:
    bench = held()
    since = bench.link().left.held["email"].since
    bench.state.now += 60_000_000
    bench.take(Reconsider(link=bench.link().id))
    assert bench.link().left.held["email"].since == since
    bench.take(bench.changed("office", "card", {**CARD, "email": ("third@example.com",)}, at=200))
    assert bench.link().left.held["email"].since == bench.state.now


def test_b10_creating_a_customer_with_its_email_is_not_held() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("office", "card", CARD)), Create)
    assert create.fields["email"] == ("ada@example.com",)


def test_b10_first_pairing_overwrites_no_differing_email_on_either_side() -> None:
    bench = Bench()
    two = {**CARD, "email": ("work@example.com", "ada@example.com")}
    link = bench.paired(ADA, two)
    assert link.base["email"] == Base("ada@example.com", "work@example.com")
    assert (link.left.held, link.right.held) == ({}, {})


def test_b10_a_case_only_change_is_not_held() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    assert bench.take(bench.changed("office", "card", {**CARD, "email": ("Ada@Example.COM",)}, at=100)) == []
    assert bench.link().left.held == {}


def test_b10_out_of_the_guarded_app_an_email_flows_freely() -> None:
    bench = Bench(connection=ONE_WAY)
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "email": ("new@example.com",)}, at=100)), Update)
    assert update.fields == {"email": ("new@example.com",)}


def test_b10_a_hold_ends_with_the_direction_that_wanted_it() -> None:
    bench = held()
    bench.configure(replace(ONE_WAY), version=2)
    bench.sweep()
    assert bench.link().left.held == {}
