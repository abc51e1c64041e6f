"""Fails when two creates may cover one address of an account, when reservations leak, or when a mark isn't heeded."""

from msgspec.structs import replace

from services.contracts.commands import Create, Find, Look, Update
from services.contracts.contact import Fields, PersonName
from services.contracts.receipts import Deferred, Refused
from services.contracts.rule import Rule
from tests.core.bench import (
    ADA,
    ASKED_BOOK,
    BOOK,
    CARD,
    SECOND_SHOP,
    SHOP,
    Bench,
    absent,
    answer,
    found,
    only,
    phone,
    writes,
)

BOB: Fields = {"name": ("Bob Hill",), "email": ("bob@example.com",)}
THREE = {"shop": SHOP, "office": BOOK, "second": SHOP}


def two_connections(*, asked: bool = False) -> Bench:
    manifests = {**THREE, "office": ASKED_BOOK} if asked else THREE
    # The second connection only writes to the office: what it does there is all that counts here.
    second = replace(SECOND_SHOP, rules=(Rule(source="left"),))
    return Bench(manifests=manifests, scanned=frozenset(THREE), more=(second,))


def asked_bench() -> Bench:
    return Bench(manifests={"shop": SHOP, "office": ASKED_BOOK})


# Two connections, one account ------------------------------------------------------------------------------


def test_p8_two_connections_never_create_one_address_twice_and_the_loser_links_to_the_winners_contact() -> None:
    bench = two_connections()
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    assert bench.take(bench.changed("second", "cus2", ADA)) == []
    wait = bench.link_of("second", "cus2", "second-office").wait
    assert wait is not None
    assert (wait.reason, wait.on) == ("address", "ada@example.com")
    assert bench.wait(3600) == [create]
    bench.take(bench.written(create, CARD, at=3601, contact_id="card"))
    assert [write for write in writes(bench.sweep()) if isinstance(write, Create)] == []
    assert bench.link_of("second", "cus2", "second-office").right.contact_id == "card"
    assert bench.state.reservations == {}


def test_p8_a_refused_create_frees_its_addresses_and_wakes_who_waits() -> None:
    bench = two_connections()
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    bench.take(bench.changed("second", "cus2", ADA))
    assert bench.take(answer(create, Refused(reason="no room"))) == []
    other = only(bench.sweep(), Create)
    assert other.aim.connection == "second-office"


def test_p8_a_deferred_create_frees_its_addresses() -> None:
    bench = two_connections()
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    bench.take(bench.changed("second", "cus2", ADA))
    assert bench.take(answer(create, Deferred(reason="account"))) == []
    assert only(bench.sweep(), Create).aim.connection == "second-office"


def test_p8_a_deferred_create_that_was_attempted_keeps_them() -> None:
    bench = two_connections()
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    bench.take(bench.changed("second", "cus2", ADA))
    bench.take(answer(create, Deferred(reason="account", attempted=True)))
    assert bench.sweep() == []


def test_p8_a_contact_that_is_gone_before_its_create_frees_its_addresses() -> None:
    bench = two_connections(asked=True)
    only(bench.take(bench.changed("shop", "cus", ADA)), Find)
    assert bench.take(bench.changed("second", "cus2", ADA)) == []
    assert bench.take(bench.deleted("shop", "cus", at=10)) == []
    assert only(bench.sweep(), Find).link == bench.link_of("second", "cus2", "second-office").id


def test_p8_a_link_of_a_paused_connection_frees_its_addresses() -> None:
    bench = two_connections(asked=True)
    only(bench.take(bench.changed("shop", "cus", ADA)), Find)
    assert bench.take(bench.changed("second", "cus2", ADA)) == []
    ours = bench.state.configs["shop-office"]
    bench.state.configs["shop-office"] = replace(ours, paused=True)
    bench.take(bench.changed("shop", "cus", {**ADA, "phone": phone("55")}, at=10))
    assert only(bench.sweep(), Find).link == bench.link_of("second", "cus2", "second-office").id


def test_p8_a_changed_address_frees_the_old_one() -> None:
    bench = two_connections(asked=True)
    only(bench.take(bench.changed("shop", "cus", ADA)), Find)
    assert bench.take(bench.changed("second", "cus2", ADA)) == []
    bench.take(bench.changed("shop", "cus", {**ADA, "email": ("new@example.com",)}, at=10))
    assert set(bench.state.reservations) >= {("office", "new@example.com")}
    assert only(bench.sweep(), Find).link == bench.link_of("second", "cus2", "second-office").id


def test_p8_two_contacts_that_swap_their_addresses_do_not_wait_for_each_other_for_ever() -> None:
    bench = two_connections(asked=True)
    bench.take(bench.changed("shop", "cus", ADA), bench.changed("second", "cus2", BOB))
    bench.take(bench.changed("shop", "cus", {**ADA, "email": BOB["email"]}, at=10))
    bench.take(bench.changed("second", "cus2", {**BOB, "email": ADA["email"]}, at=10))
    bench.sweep()
    waits = [each.wait.reason for each in bench.links() if each.wait is not None]
    assert waits != ["address", "address"]


def test_p8_all_addresses_or_none_are_held() -> None:
    bench = two_connections()
    two: Fields = {**CARD, "email": ("ada@example.com", "bob@example.com")}
    bench.configure(replace(bench.connection, rules=(Rule(source="right"), Rule(source="left"))))
    create = only(bench.take(bench.changed("second", "cus2", BOB)), Create)
    assert bench.take(bench.changed("office", "card", two)) == []
    assert {key for key, link in bench.state.reservations.items() if link != create.aim.link} == set()


def test_p8_a_create_covers_its_addresses_in_the_sources_account_too() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    assert bench.state.reservations == {
        ("shop", "ada@example.com"): create.aim.link,
        ("office", "ada@example.com"): create.aim.link,
    }


def test_p8_both_sides_new_at_once_are_paired() -> None:
    bench = Bench(scanned=frozenset())
    bench.take(bench.changed("office", "card", CARD), bench.changed("shop", "cus", ADA))
    link = bench.link()
    assert (link.left.contact_id, link.right.contact_id, link.status) == ("cus", "card", "active")
    (alias,) = (each for each in bench.links() if each.status == "ended")
    assert alias.alias_of == link.id


def test_p8_of_two_half_links_the_one_with_an_issued_create_goes_on() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("office", "card", CARD)), Create)
    bench.take(answer(create, Deferred(reason="account", attempted=True)))
    bench.take(bench.changed("shop", "cus", ADA, at=10))
    assert bench.link().id == create.aim.link


# Our own create, seen early --------------------------------------------------------------------------------


def test_p8_our_own_create_seen_before_its_receipt_is_only_recorded() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    early = bench.changed("office", "card", CARD, at=5, mark=create.aim.link)
    assert bench.take(early) == []
    assert writes(bench.wait(3600)) == [create]
    assert bench.take(bench.written(create, CARD, at=5, contact_id="card")) == []
    assert bench.link().id == create.aim.link


def test_p8_our_own_create_with_its_address_changed_by_a_person_is_only_recorded() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    edited = {**CARD, "email": ("new@example.com",)}
    assert bench.take(bench.changed("office", "card", edited, at=20, mark=create.aim.link)) == []
    assert bench.take(bench.written(create, CARD, at=5, contact_id="card")) == []
    assert bench.link().left.held["email"].value == "new@example.com"


def test_p8_a_contact_with_the_mark_of_an_unsettled_create_is_not_paired_by_another() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    edited = {**CARD, "email": BOB["email"]}
    assert bench.take(bench.changed("office", "card", edited, at=20, mark=create.aim.link)) == []
    assert bench.take(bench.changed("shop", "bob", BOB, at=21)) == []
    assert bench.link_of("shop", "bob").right.contact_id is None
    bench.take(bench.written(create, CARD, at=5, contact_id="card"))
    bench.sweep()
    assert bench.link_of("shop", "cus").right.contact_id == "card"
    assert bench.link_of("shop", "bob").status == "duplicate"


def test_p8_a_contact_with_the_mark_of_an_unsettled_create_is_not_a_merges_survivor() -> None:
    bench = Bench()
    bench.paired(BOB, {**CARD, "n": (PersonName(given="Bob", family="Hill"),), "email": BOB["email"]})
    create = only(bench.take(bench.changed("shop", "ada", ADA, at=50)), Create)
    edited = {**CARD, "email": BOB["email"]}
    bench.take(bench.changed("office", "made", edited, at=60, mark=create.aim.link))
    bench.take(bench.deleted("office", "card", at=100))
    bench.wait(3)
    assert bench.link_of("shop", "cus").right.contact_id == "card"


def test_p8_a_contact_whose_address_is_being_created_waits_also_as_a_match() -> None:
    bench = two_connections()
    only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    bench.take(bench.changed("office", "made", CARD, at=10))
    assert bench.take(bench.changed("second", "cus2", ADA, at=11)) == []
    assert bench.link_of("second", "cus2", "second-office").right.contact_id is None


def test_p8_a_persons_contact_with_the_address_waits_for_the_receipt_and_is_then_a_duplicate() -> None:
    bench = Bench()
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    assert bench.take(bench.changed("office", "typed", CARD, at=10)) == []
    bench.take(bench.written(create, CARD, at=12, contact_id="card"))
    assert writes(bench.sweep()) == []
    assert bench.link_of("office", "typed").status == "duplicate"


def test_p8_who_waits_for_a_receipt_is_woken_when_the_create_is_refused() -> None:
    bench = two_connections()
    bench.more = (replace(SECOND_SHOP, rules=(Rule(source="left"), Rule(source="right"))),)
    bench.configure()
    create = only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    assert bench.take(bench.changed("office", "typed", CARD, at=10)) == []
    bench.take(answer(create, Refused(reason="no room")))
    other = only(bench.sweep(), Create)
    assert (other.aim.account, other.aim.connection) == ("second", "second-office")


# Asking before creating ------------------------------------------------------------------------------------


def test_p8_a_target_that_sees_more_than_its_feed_is_asked_before_a_create() -> None:
    bench = asked_bench()
    find = only(bench.take(bench.changed("shop", "cus", ADA)), Find)
    assert (find.account, find.address) == ("office", "ada@example.com")
    assert isinstance(only(bench.take(absent(find)), Create), Create)


def test_p8_an_old_answer_is_asked_for_again() -> None:
    bench = asked_bench()
    find = only(bench.take(bench.changed("shop", "cus", ADA)), Find)
    bench.configure(paused=True)
    assert bench.take(absent(find)) == []
    bench.state.now += 6_000_000
    again = only(bench.resume(), Find)
    assert again.number == find.number + 1
    assert bench.take(absent(find)) == []
    assert isinstance(only(bench.take(absent(again)), Create), Create)


def test_p8_an_address_changed_while_asking_is_asked_for_as_well() -> None:
    bench = asked_bench()
    find = only(bench.take(bench.changed("shop", "cus", ADA)), Find)
    again = only(bench.take(bench.changed("shop", "cus", {**ADA, "email": BOB["email"]}, at=10)), Find)
    assert again.address == "bob@example.com"
    assert bench.take(absent(find)) == []
    assert isinstance(only(bench.take(absent(again)), Create), Create)


def test_p8_a_hit_is_an_observation_and_pairing_decides() -> None:
    bench = asked_bench()
    find = only(bench.take(bench.changed("shop", "cus", ADA)), Find)
    assert writes(bench.take(bench.changed("office", "card", CARD, at=1, origin="find"))) == []
    assert writes(bench.take(found(find, "card"))) == []
    assert bench.link().right.contact_id == "card"


def test_p8_a_hit_whose_event_comes_later_is_waited_for() -> None:
    bench = asked_bench()
    find = only(bench.take(bench.changed("shop", "cus", ADA)), Find)
    assert bench.take(found(find, "card")) == []
    assert bench.take(bench.changed("office", "card", CARD, at=1, origin="find")) == []
    assert bench.link().right.contact_id == "card"


def test_p8_a_contact_that_appears_while_the_target_is_asked_is_paired() -> None:
    bench = asked_bench()
    find = only(bench.take(bench.changed("shop", "cus", ADA)), Find)
    bench.take(bench.changed("office", "card", CARD, at=1))
    assert bench.take(absent(find)) == []
    assert bench.link().right.contact_id == "card"


def test_p8_a_deferred_create_starts_over_from_its_find_unless_it_was_attempted() -> None:
    for attempted, kind in ((False, Find), (True, Create)):
        bench = asked_bench()
        find = only(bench.take(bench.changed("shop", "cus", ADA)), Find)
        create = only(bench.take(absent(find)), Create)
        assert type(only(bench.take(answer(create, Deferred(reason="config", attempted=attempted))), kind)) is kind


def test_p8_the_second_contact_with_the_address_is_not_created_either() -> None:
    bench = Bench()
    only(bench.take(bench.changed("shop", "cus", ADA)), Create)
    assert bench.take(bench.changed("shop", "twin", ADA, at=5)) == []
    assert bench.link_of("shop", "twin").status == "duplicate"


def test_p8_a_match_that_is_being_looked_at_is_waited_for_and_then_decided() -> None:
    bench = Bench(scanned=frozenset())
    bench.take(bench.changed("office", "card", CARD))
    look = only(bench.take(bench.changed("office", "card", {**CARD, "email": ("other@example.com",)})), Look)
    assert bench.take(bench.changed("shop", "cus", ADA)) == []
    bench.finish_scan("shop")
    bench.finish_scan("office")
    made = writes(bench.take(bench.looked(look, {**CARD, "email": ("other@example.com",)}, at=5)) + bench.sweep())
    assert {write.aim.account for write in made if isinstance(write, Create)} == {"shop", "office"}
    assert not [write for write in made if isinstance(write, Update)]
