from services.contracts.commands import Create, Tag, Update
from services.contracts.contact import Fields, PersonName
from tests.core.bench import Bench, writes

ADA: Fields = {"name": ("Ada King",), "email": ("ada@example.com",), "phone": ("+1 202 555 0101",)}
CARD: Fields = {"n": (PersonName(given="Ada", family="King"),), "email": ("ada@example.com",), "tel": ("+12025550101",)}


def test_a_customer_without_a_partner_is_created_with_its_fields() -> None:
    bench = Bench()
    (create,) = bench.take(bench.changed("shop", "cus", ADA))
    assert isinstance(create, Create)
    assert create.fields == {
        "n": (PersonName(given="Ada", family="King"),),
        "email": ("ada@example.com",),
        "tel": ("+1 202 555 0101",),
    }
    assert bench.take(bench.written(create, CARD, at=1, contact_id="card")) == []
    assert bench.link().status == "active"
    assert bench.take(bench.changed("office", "card", CARD, at=1, until=2, mark=create.aim.link)) == []


def test_f1_an_echo_comes_to_nothing_although_the_app_reformatted_the_value() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    (update,) = bench.take(bench.changed("shop", "cus", {**ADA, "phone": ("+1 202 555 0199",)}, at=100))
    assert isinstance(update, Update)
    assert update.fields == {"tel": ("+1 202 555 0199",)}
    assert bench.take(bench.written(update, {**CARD, "tel": ("+12025550199",)}, at=101)) == []
    assert bench.take(bench.changed("office", "card", {**CARD, "tel": ("+12025550199",)}, at=101, until=102)) == []


def test_e2_deletion_in_the_book_tags_the_customer_once_and_nothing_else() -> None:
    bench = Bench()
    bench.paired(ADA, CARD)
    assert bench.take(bench.deleted("office", "card", at=100)) == []
    (tag,) = bench.wait(3)
    assert isinstance(tag, Tag)
    assert (tag.contact_id, tag.tag, tag.aim.side) == ("cus", "PieSync Trash", "left")
    assert bench.take(bench.written(tag, ADA, at=104, tags=["PieSync Trash"])) == []
    assert writes(bench.wait(60)) == []
    assert bench.link().status == "tombstone"
