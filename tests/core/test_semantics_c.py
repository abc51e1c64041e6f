"""Pairing (SEMANTICS C1-C4, C6) on the core."""

from msgspec.structs import replace

from services.contracts.commands import Create, Update
from services.contracts.connection import Options
from services.contracts.contact import Fields
from tests.core.bench import ADA, CARD, TWO_WAY, Bench, only, phone, tel, writes

NO_MAIL: Fields = {"name": ("Ada King",), "phone": ("+1 202 555 0101",)}


def test_c1_pairs_by_email_in_any_case_and_with_any_shared_address() -> None:
    bench = Bench(scanned=frozenset())
    bench.take(bench.changed("office", "card", {**CARD, "email": ("work@example.com", " ADA@example.com")}))
    bench.take(bench.changed("shop", "cus", ADA))
    assert (bench.link().left.contact_id, bench.link().right.contact_id) == ("cus", "card")


def test_c1_the_primary_address_comes_first() -> None:
    bench = Bench(scanned=frozenset())
    bench.take(bench.changed("shop", "second", {**ADA, "email": ("king@example.com",)}))
    bench.take(bench.changed("shop", "first", ADA))
    bench.take(bench.changed("office", "card", {**CARD, "email": ("ada@example.com", "king@example.com")}))
    assert bench.link_of("office", "card").left.contact_id == "first"


def test_c1_a_link_survives_changes_of_both_addresses() -> None:
    bench = Bench()
    link = bench.paired(ADA, CARD)
    bench.take(bench.changed("office", "card", {**CARD, "email": ("a@example.com",)}, at=100))
    bench.take(bench.changed("shop", "cus", {**ADA, "email": ("b@example.com",)}, at=200))
    assert bench.link().id == link.id
    assert bench.link().paired


def test_c1_an_address_that_is_none_pairs_nothing() -> None:
    bench = Bench(scanned=frozenset())
    bench.take(bench.changed("office", "card", {**CARD, "email": ("unknown",)}))
    bench.take(bench.changed("shop", "cus", {**ADA, "email": ("unknown",)}))
    assert {link.status for link in bench.links()} == {"outside"}


def test_c2_a_contact_without_an_email_stays_out() -> None:
    bench = Bench()
    assert bench.take(bench.changed("shop", "cus", NO_MAIL)) == []
    assert bench.link().status == "outside"


def test_c2_it_comes_in_when_it_gets_one() -> None:
    bench = Bench()
    bench.take(bench.changed("shop", "cus", NO_MAIL))
    assert isinstance(only(bench.take(bench.changed("shop", "cus", ADA, at=100)), Create), Create)


def test_c2_with_avoid_duplicates_off_it_is_synced() -> None:
    bench = Bench(connection=replace(TWO_WAY, options=Options(avoid_duplicates=False)))
    create = only(bench.take(bench.changed("shop", "cus", NO_MAIL)), Create)
    assert create.addresses == ()
    assert bench.take(bench.changed("shop", "cus", {**NO_MAIL, "phone": phone("55")}, at=100)) == []


def test_c3_many_contacts_with_one_address_lead_to_one_create() -> None:
    bench = Bench()
    made = writes(bench.take(*(bench.changed("shop", f"cus{n}", ADA, at=n) for n in range(10))))
    assert len(made) == 1
    assert [link.status for link in bench.links()].count("duplicate") == 9


def test_c4_the_first_linked_keeps_the_link_and_the_others_are_reported() -> None:
    bench = Bench()
    link = bench.paired(ADA, CARD)
    assert bench.take(bench.changed("office", "twin", CARD, at=50), bench.changed("shop", "also", ADA, at=50)) == []
    assert bench.link_of("office", "twin").status == bench.link_of("shop", "also").status == "duplicate"
    assert bench.link_of("shop", "cus").id == link.id
    assert bench.take(bench.changed("office", "twin", {**CARD, "tel": tel("55")}, at=100)) == []


def test_c4_a_blocker_that_changes_its_address_lets_the_next_in() -> None:
    bench = Bench(scanned=frozenset())
    bench.take(bench.changed("shop", "cus", ADA), bench.changed("shop", "twin", ADA, at=1))
    bench.take(bench.changed("shop", "cus", {**ADA, "email": ("new@example.com",)}, at=50))
    bench.sweep()
    assert bench.link_of("shop", "twin").status == "pairing"


def test_c4_a_duplicate_that_changes_its_own_address_comes_in() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.changed("shop", "twin", ADA, at=50))
    create = only(bench.take(bench.changed("shop", "twin", {**ADA, "email": ("t@example.com",)}, at=100)), Create)
    assert create.aim.link == bench.link_of("shop", "twin").id


def test_c4_a_duplicate_that_is_deleted_disturbs_nobody() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    bench.take(bench.changed("office", "twin", CARD, at=50))
    assert bench.take(bench.deleted("office", "twin", at=100)) == []
    assert bench.wait(60) == []
    assert bench.link().status == "active"


def test_c6_an_email_removed_on_one_side_ends_no_link_and_is_not_passed_on() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    without = {key: values for key, values in CARD.items() if key != "email"}
    assert bench.take(bench.changed("office", "card", without, at=100)) == []
    assert (bench.link().status, bench.link().left.held) == ("active", {})
    update = only(bench.take(bench.changed("office", "card", {**without, "tel": tel("55")}, at=200)), Update)
    assert update.fields == {"phone": tel("55")}


def test_c4_who_shares_an_address_with_a_linked_contact_is_not_matched_by_a_later_observation() -> None:
    bench = Bench(scanned=frozenset())  # nothing is created here: it is about matching alone
    bench.take(bench.changed("office", "old", {"note": ("x",)}))  # known first; no address yet
    bench.take(bench.changed("shop", "cus", {"email": ("c@example.com",)}, at=10))
    bench.take(bench.changed("office", "card", {"email": ("c@example.com", "a@example.com")}, at=10))
    assert bench.link_of("shop", "cus").right.contact_id == "card"
    bench.take(bench.changed("shop", "cus2", {"email": ("a@example.com",), "name": ("Eva",)}, at=60))
    assert bench.link_of("shop", "cus2").status == "duplicate"  # `card` has its address and is linked
    bench.take(bench.changed("office", "old", {"email": ("a@example.com",), "note": ("x",)}, at=70))
    bench.sweep()
    at_rest = bench.link_of("shop", "cus2").right.contact_id
    assert bench.link_of("office", "old").status in ("duplicate", "active")
    sent = bench.take(
        bench.changed("shop", "cus2", {"email": ("a@example.com",), "name": ("Eva",)}, at=60)
    )  # seen again: nothing new
    assert bench.link_of("shop", "cus2").right.contact_id == at_rest, "a repeated observation made a pair"
    assert not writes(sent)
