"""Fails when a link that nobody sends an event for isn't decided again, or is decided again without end."""

from msgspec.structs import replace

from services.contracts.commands import Create, Look, Tag, Update
from services.contracts.receipts import Deferred, Refused
from services.contracts.rule import HasTag, Rule
from services.sync.core.take import Reconsider, Sighted
from tests.core.bench import ADA, BOOK, CARD, SECOND_SHOP, SHOP, TWO_WAY, Bench, answer, only, phone, tel, writes


def test_p10_a_duplicate_whose_blocker_is_deleted_is_decided_again() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    bench.take(bench.changed("shop", "twin", ADA, at=5))
    bench.take(answer(create, Refused(reason="no room")))
    bench.sweep()
    assert bench.link_of("shop", "twin").status == "duplicate"
    bench.take(bench.deleted("shop", "cus", at=20))
    assert only(bench.sweep(), Create).aim.link == bench.link_of("shop", "twin").id


def test_p10_a_duplicate_whose_blocker_changes_its_address_is_decided_again() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    assert bench.take(bench.changed("shop", "twin", ADA, at=5)) == []
    two = {**CARD, "email": ("new@example.com",)}
    bench.configure(replace(bench.connection, direction="left_to_right"), version=2)
    bench.sweep()
    only(bench.take(bench.changed("shop", "cus", {**ADA, "email": two["email"]}, at=20)), Update)
    assert bench.link_of("shop", "twin").status == "duplicate"
    bench.take(bench.changed("office", "card", two, at=30))
    created = [write for write in writes(bench.sweep()) if isinstance(write, Create)]
    assert [create.aim.link for create in created] == [bench.link_of("shop", "twin").id]


def test_p10_a_config_that_is_new_to_a_link_has_it_decided_again_once() -> None:
    bench = Bench(connection=replace(TWO_WAY, mappings=()))
    bench.paired(ADA, CARD)
    bench.configure(version=2)
    bench.sweep()
    assert bench.link().config_version == 2
    assert bench.sweep() == []


def test_p10_a_time_that_has_come_is_used_up() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=100))
    assert bench.link().reconsider_at == bench.state.now + 2_000_000
    bench.wait(2)
    assert bench.link().reconsider_at is None


def test_p10_resuming_decides_every_link_again() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.configure(paused=True)
    assert bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)) == []
    assert only(bench.resume(), Update).fields == {"tel": phone("55")}


def test_p10_an_account_that_is_back_gets_what_was_put_off() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    assert bench.take(answer(update, Deferred(reason="account"))) == []
    assert bench.wait(60) == []
    after = only(bench.wake("account", "office"), Update)
    assert after.fields == {"tel": phone("55")}
    assert after.aim.version > update.aim.version


def test_p10_a_freed_address_wakes_who_waits_for_it_in_any_connection() -> None:
    manifests = {"shop": SHOP, "office": BOOK, "second": SHOP}
    bench = Bench(manifests=manifests, scanned=frozenset(manifests), more=(SECOND_SHOP,))
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    assert bench.take(bench.changed("second", "cus2", ADA)) == []
    bench.take(answer(create, Refused(reason="no room")))
    assert only(bench.sweep(), Create).aim.account == "office"


def test_p10_a_known_contact_that_a_new_connection_has_not_seen_is_taken_up() -> None:
    manifests = {"shop": SHOP, "office": BOOK, "second": SHOP}
    bench = Bench(manifests=manifests, scanned=frozenset(manifests))
    bench.paired(ADA, CARD)
    bench.more = (SECOND_SHOP,)
    bench.configure()
    create = only(bench.take(Sighted(account="office", contact_id="card")), Create)
    assert (create.aim.account, create.aim.connection) == ("second", "second-office")


def test_p10_reconsidering_what_is_in_step_issues_nothing() -> None:
    bench = Bench()
    link = bench.paired(ADA, CARD)
    before = bench.link()
    assert bench.take(*(Reconsider(link=link.id) for _ in range(20))) == []
    assert bench.link() == before


def test_p10_reconsidering_an_unknown_or_ended_link_is_nothing() -> None:
    bench = Bench()
    link = bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=100), bench.deleted("shop", "cus", at=100))
    assert bench.take(Reconsider(link="nobody"), Reconsider(link=link.id)) == []


def test_p10_a_second_contact_that_stood_outside_is_reported_when_the_first_is_linked() -> None:
    bench = Bench(connection=replace(TWO_WAY, direction="left_to_right"))
    bench.take(bench.changed("office", "card", CARD), bench.changed("office", "twin", CARD))
    bench.take(bench.changed("shop", "cus", ADA))
    bench.sweep()
    assert sorted(bench.link_of("office", each).status for each in ("card", "twin")) == ["active", "duplicate"]


def test_p10_a_match_that_lost_its_address_while_it_was_looked_at_is_no_longer_waited_for() -> None:
    bench = Bench()
    bench.paired(ADA, {**CARD, "email": ("ada@example.com", "king@example.com")})
    both = {**CARD, "email": ("ada@example.com", "king@example.com")}
    look = bench.take(bench.changed("office", "card", {**both, "tel": tel("55")}, at=0))
    bench.take(bench.changed("shop", "king", {**ADA, "email": ("king@example.com",)}, at=50))
    (asked,) = look
    assert not isinstance(asked, Update)
    bench.take(bench.changed("office", "card", CARD, at=70))
    bench.take(bench.changed("office", "card", CARD, at=71, look=getattr(asked, "look", None)))
    created = [write for write in writes(bench.sweep()) if isinstance(write, Create)]
    assert [create.aim.link for create in created] == [bench.link_of("shop", "king").id]


def test_p10_a_duplicate_whose_blocker_became_an_alias_waits_for_the_link_that_goes_on() -> None:
    bench = Bench(scanned=frozenset())
    bench.take(bench.changed("office", "card", CARD), bench.changed("office", "twin", CARD))
    blocker = bench.link_of("office", "card").id
    bench.take(bench.changed("shop", "cus", ADA))
    bench.sweep()
    survivor = bench.link_of("office", "card").id
    assert survivor != blocker
    wait = bench.link_of("office", "twin").wait
    assert wait is not None
    assert wait.on == survivor


def test_p10_a_time_that_has_come_is_used_up_also_while_a_write_is_in_flight() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    only(bench.take(bench.changed("office", "card", {**CARD, "tel": tel("55")}, at=90)), Update)
    bench.take(bench.deleted("office", "card", at=100))
    assert bench.wait(3) == []
    assert bench.link().reconsider_at is None


def test_p10_a_config_that_is_new_is_known_to_a_link_that_waits_for_its_time() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=100))
    bench.configure(version=2)
    assert bench.sweep() == []
    assert bench.link().config_version == 2
    assert len(writes(bench.wait(3))) == 1


def test_p10_a_write_that_nobody_answered_is_sent_again_as_it_was() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100)), Update)
    assert bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("66")}, at=110)) == []
    assert bench.wait(599) == []
    assert bench.wait(1) == [update]
    assert bench.wait(599) == []
    assert bench.wait(1) == [update]
    newer = only(bench.take(bench.written(update, {**CARD, "tel": tel("55")}, at=2000)), Update)
    assert newer.fields == {"tel": phone("66")}
    bench.take(bench.written(newer, {**CARD, "tel": tel("66")}, at=2010))
    assert bench.wait(100_000) == []


def test_p10_a_create_and_a_tag_that_nobody_answered_are_sent_again_as_they_were() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    assert bench.wait(600) == [create]
    bench.take(bench.written(create, CARD, at=700, contact_id="card"))
    bench.take(bench.deleted("office", "card", at=800))
    tag = only(bench.wait(3), Tag)
    assert bench.wait(600) == [tag]
    assert tag.contact_id == "cus"


def test_p10_a_write_whose_account_is_out_of_force_is_not_sent_again_and_its_time_comes_again() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=100))
    bench.state.configs = {}
    assert bench.wait(600) == []
    assert bench.wait(10) == []
    bench.configure()
    assert isinstance(only(bench.wait(600), Update), Update)


def test_p10_a_look_that_nobody_answered_is_asked_again() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    first = only(bench.take(bench.touched("shop", "cus")), Look)
    assert bench.wait(599) == []
    again = only(bench.wait(1), Look)
    assert (again.contact_id, again.look.number) == (first.contact_id, first.look.number)
    assert again.look.attempt > first.look.attempt
    assert bench.take(bench.looked(again, ADA, at=30_000)) == []
    assert [link.wait for link in bench.links() if link.status != "ended"] == [None]


def test_p10_an_account_whose_return_was_not_heard_of_is_tried_again() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    update = only(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("77")}, at=100)), Update)
    assert bench.take(answer(update, Deferred(reason="account"))) == []
    assert bench.wait(60) == []
    assert only(bench.wait(300), Update).fields == update.fields


def test_p10_a_doubled_receipt_does_not_hide_that_the_rules_have_changed() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    (write,) = writes(bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("77")}, at=50)))
    done = bench.written(write, {**CARD, "tel": tel("77")}, at=60)
    bench.take(done)
    gold = (Rule(source="left", conditions=(HasTag(name="Gold"),)),)
    bench.configure(replace(bench.connection, rules=gold), version=2)
    bench.take(answer(write, Deferred(reason="superseded")))  # late, of a version settled long ago
    bench.sweep()
    assert bench.link().status == "outside", "nobody told the link of the new rules"
