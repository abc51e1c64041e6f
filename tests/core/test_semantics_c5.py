"""Merges that the app tells of: the link follows, whatever the addresses are (C5, P13)."""

import pytest

from services.contracts.commands import Command, Look, Tag, Untag
from services.contracts.events import ContactMerged
from tests.core.bench import ADA, CARD, TRASH, Bench, only, writes
from tests.core.test_p13 import BOB, BOB_CARD, TAGGED

MERGE = ContactMerged(account="office", contact_id="card", into="heir", origin="webhook")


def merged(bench: Bench, *, gone_at: float = 100, other_first: bool = False) -> list[Command]:
    """`card` is merged into `heir`, who has no address of the link: the app says so, and both looks are answered."""
    looks = [each for each in bench.take(MERGE) if isinstance(each, Look)]
    assert {look.contact_id for look in looks} == {"card", "heir"}
    answers = {look.contact_id: look for look in looks}
    order = ("heir", "card") if other_first else ("card", "heir")
    said = []
    for contact_id in order:
        fields = BOB_CARD if contact_id == "heir" else None
        said += bench.take(bench.looked(answers[contact_id], fields, at=gone_at))
    return said


@pytest.mark.parametrize("other_first", [False, True])
def test_c5_the_link_follows_a_merge_that_the_app_tells_whatever_the_addresses(other_first: bool) -> None:
    bench = Bench(connection=TAGGED)
    bench.paired(ADA, CARD)
    bench.take(bench.changed("office", "heir", BOB_CARD, at=50))
    said = [*merged(bench, other_first=other_first), *bench.wait(1)]
    assert [write for write in writes(said) if isinstance(write, Tag)] == []
    assert bench.link_of("shop", "cus").right.contact_id == "heir"
    assert bench.wait(60) == []


def test_c5_a_tag_goes_when_the_app_tells_of_the_merge_after_the_deletion() -> None:
    bench = Bench(connection=TAGGED)
    bench.paired(ADA, CARD)
    bench.take(bench.deleted("office", "card", at=90))
    bench.take(bench.written(only(bench.wait(3), Tag), ADA, at=94, tags=[TRASH]))
    said = merged(bench)
    untag = only(writes([*said, *bench.wait(1)]), Untag)
    assert (untag.aim.account, untag.contact_id) == ("shop", "cus")
    assert bench.link_of("shop", "cus").right.contact_id == "heir"


def test_c5_merged_into_a_contact_that_is_linked_the_link_ends_and_the_partner_is_a_duplicate() -> None:
    bench = Bench(connection=TAGGED)
    bench.paired(ADA, CARD)
    bench.state.scanned = frozenset()
    bench.take(bench.changed("shop", "bob", BOB, at=5), bench.changed("office", "heir", BOB_CARD, at=5))
    bench.state.scanned = bench.scanned
    said = [*merged(bench), *bench.wait(1), *bench.wait(60)]
    assert writes(said) == []
    assert bench.link_of("shop", "bob").right.contact_id == "heir"
    assert bench.link_of("shop", "cus").status == "duplicate"


def test_c5_a_contact_that_is_there_after_all_was_not_merged() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    looks = {look.contact_id: look for look in bench.take(MERGE) if isinstance(look, Look)}
    bench.take(bench.looked(looks["heir"], BOB_CARD, at=100))
    bench.take(bench.looked(looks["card"], CARD, at=100))
    assert bench.link_of("shop", "cus").right.contact_id == "card"
    assert bench.link_of("shop", "cus").status == "active"


def test_c5_a_merge_into_a_contact_that_was_merged_on_is_followed_to_the_last() -> None:
    bench = Bench(connection=TAGGED)
    bench.paired(ADA, CARD)
    bench.take(bench.changed("office", "last", BOB_CARD, at=50))
    onward = ContactMerged(account="office", contact_id="heir", into="last", origin="webhook")
    looks = [each for each in (*bench.take(onward), *bench.take(MERGE)) if isinstance(each, Look)]
    for look in looks:
        bench.take(bench.looked(look, BOB_CARD if look.contact_id == "last" else None, at=100))
    assert [write for write in writes(bench.wait(2)) if isinstance(write, Tag)] == []
    assert bench.link_of("shop", "cus").right.contact_id == "last"


def test_c5_a_merge_whose_survivor_is_gone_too_is_a_deletion() -> None:
    bench = Bench(connection=TAGGED)
    bench.paired(ADA, CARD)
    looks = [each for each in bench.take(MERGE) if isinstance(each, Look)]
    said = [each for look in looks for each in bench.take(bench.looked(look, None, at=100))]
    only([*said, *bench.wait(3)], Tag)
