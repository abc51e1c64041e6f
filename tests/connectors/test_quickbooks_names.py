"""What customers are called: names nobody else has, that follow the contact's and read back without additions."""

import json
from typing import Any

import msgspec
import pytest

from services.connectors.quickbooks.name import candidates
from services.connectors.quickbooks.sandbox import Fail
from services.connectors.verdicts import verdict_on
from services.contracts.app import Seen, Trouble, Verdict
from services.contracts.contact import Fields, PersonName
from services.contracts.receipts import Refused, Written
from tests.connectors.quickbooks_rig import ADA, LINK, OTHER_LINK, Books, create, must, update


async def made(books: Books, fields: Fields | None = None) -> Seen:
    return await books.look(must(await books.write(create(fields), key="make"), Written).contact_id)


@pytest.mark.parametrize(
    ("fields", "display"),
    [
        ({"name": (PersonName(full="Acme"),)}, "Acme"),
        ({"name": (PersonName(given="Ada", family="King"),)}, "Ada King"),
        ({"name": (PersonName(given="Ada", full="The  Countess"),)}, "The Countess"),
        ({"CompanyName": ("Engines",), "PrimaryEmailAddr": ("a@x.example",)}, "Engines"),
        ({"PrimaryEmailAddr": ("a@x.example",)}, "a@x.example"),
    ],
)
async def test_a_customer_is_called_by_its_name_else_its_company_else_its_address(fields: Fields, display: str) -> None:
    async with Books() as books:
        seen = await made(books, fields)
        assert books.hand.get(seen.contact_id)["DisplayName"] == display
        assert books.hand.get(seen.contact_id)["Notes"] == f"[contactsync:{LINK}]"
        assert seen.contact.fields["name"] == (
            () if "name" not in fields else (msgspec.structs.replace(fields["name"][0], full=display),)  # type: ignore[type-var]
        )


async def test_a_contact_without_anything_to_be_called_by_is_refused() -> None:
    async with Books() as books:
        assert must(await books.write(create({"PrimaryPhone": ("1",)})), Refused).code == "no_name"
        assert books.posts() == []


def test_names_are_tried_in_one_order() -> None:
    assert list(candidates("Ada", "a@x.example"))[:3] == ["Ada", "Ada (a@x.example)", "Ada (2)"]
    assert list(candidates("Ada", ""))[:2] == ["Ada", "Ada (2)"]
    assert list(candidates("a@X.example", "A@x.example"))[:2] == ["a@X.example", "a@X.example (2)"]
    assert len(list(candidates("Ada", "a@x.example"))) == 10


async def test_a_taken_name_gets_the_address_then_a_number_and_reads_back_without_them() -> None:
    async with Books() as books:
        books.hand.create("ADA KING")
        books.hand.employ("Ada King (ada@x.example)")
        books.hand.create("Ada King (2)")
        seen = await made(books)
        assert books.hand.get(seen.contact_id)["DisplayName"] == "Ada King (3)"
        assert len(books.posts()) == 3  # those that customers have aren't tried
        assert seen.contact.fields["name"] == ADA["name"]


async def test_an_inactive_customer_keeps_a_name_from_being_used_as_the_api_says() -> None:
    async with Books() as books:
        before = books.hand.create("Ada King")
        books.hand.deactivate(before)
        assert books.hand.get(before)["DisplayName"] == "Ada King (deleted)"
        seen = await made(books)
        assert books.hand.get(seen.contact_id)["DisplayName"] == "Ada King"


async def test_names_that_are_all_taken_have_the_name_refused() -> None:
    async with Books() as books:
        for name in candidates("Ada King", "ada@x.example"):
            books.hand.employ(name)
        refused = must(await books.write(create()), Refused)
        assert (refused.code, refused.fields) == ("6240", ("name",))
        assert books.hand.everybody() == []
        assert "Ada" not in refused.reason


async def test_p4_two_links_of_one_name_get_two_customers() -> None:
    async with Books() as books:
        one = must(await books.write(create(), key="one"), Written)
        two = must(await books.write(create(link=OTHER_LINK), key="two"), Written)
        assert one.contact_id != two.contact_id


async def test_every_request_that_may_be_repeated_names_itself_and_no_two_share_a_name() -> None:
    async with Books() as books:
        books.hand.create("Ada King")
        seen = await made(books)
        await books.write(update(seen, {"Notes": ("x",)}), key="make")
        idents = [each.params["requestid"] for each in books.box.requests.to("POST", "/v3/*")]
        assert len(idents) == len(set(idents)) == 3
        assert max(map(len, idents)) <= 50


@pytest.mark.parametrize(
    ("raw", "wanted", "expected"),
    [
        # The name that people see follows the parts...
        (
            {"DisplayName": "Ada King", "GivenName": "Ada", "FamilyName": "King"},
            PersonName(given="Ada", family="Lovelace"),
            {"FamilyName": "Lovelace", "DisplayName": "Ada Lovelace"},
        ),
        ({"DisplayName": "Acme"}, PersonName(full="Acme & Co"), {"DisplayName": "Acme & Co"}),
        (
            {"DisplayName": "Acme"},
            PersonName(given="Ada", family="King"),
            {"GivenName": "Ada", "FamilyName": "King", "DisplayName": "Ada King"},
        ),
        # ...unless a person chose another one,
        (
            {"DisplayName": "King's Groceries", "GivenName": "Ada", "FamilyName": "King"},
            PersonName(given="Ada", family="Lovelace"),
            {"FamilyName": "Lovelace"},
        ),
        # and an addition that it has already is kept.
        (
            {
                "DisplayName": "Ada King (ada@x.example)",
                "GivenName": "Ada",
                "FamilyName": "King",
                "PrimaryEmailAddr": {"Address": "ada@x.example"},
            },
            PersonName(prefix="Dr.", given="Ada", family="King", full="Ada King"),
            {"Title": "Dr."},
        ),
    ],
)
async def test_what_a_customer_is_called_follows_its_name(
    raw: dict[str, Any], wanted: PersonName, expected: dict[str, str]
) -> None:
    async with Books() as books:
        seen = await books.look(str(books.box.customers.create(raw)["Id"]))
        must(await books.write(update(seen, {"name": (wanted,)})), Written)
        (posted,) = books.posts()
        assert {key: value for key, value in posted.items() if key not in {"Id", "SyncToken", "sparse"}} == expected


async def test_a_new_name_that_is_taken_gets_an_addition() -> None:
    async with Books() as books:
        books.hand.employ("Ada Lovelace")
        seen = await made(books)
        wanted = (PersonName(given="Ada", family="Lovelace"),)
        written = must(await books.write(update(seen, {"name": wanted})), Written)
        assert books.hand.get(seen.contact_id)["DisplayName"] == "Ada Lovelace (ada@x.example)"
        assert written.seen is not None
        assert written.seen.contact.fields["name"] == (PersonName(given="Ada", family="Lovelace", full="Ada Lovelace"),)


async def test_the_case_of_a_name_with_an_addition_can_change() -> None:
    async with Books() as books:
        books.hand.employ("Acme")
        seen = await made(books, {"name": (PersonName(full="Acme"),), "PrimaryEmailAddr": ("a@x.example",)})
        await books.write(update(seen, {"name": (PersonName(full="ACME"),)}))
        assert books.hand.get(seen.contact_id)["DisplayName"] == "ACME (a@x.example)"


@pytest.mark.parametrize("element", ["Customer.PrimaryEmailAddr", "PrimaryEmailAddr.Address"])
async def test_d10_a_field_that_quickbooks_objects_to_is_named(element: str) -> None:
    async with Books() as books:
        body = {"Fault": {"Error": [{"Message": "m ada@x.example", "code": "2210", "element": element}]}}
        books.box.faults.add(Fail(400, json.dumps(body).encode()), "POST")
        answer = must(await books.write(create()), Trouble)
        assert verdict_on(answer, books.app.manifest) is Verdict.REFUSE
        assert answer.field == "PrimaryEmailAddr"
        assert "ada@" not in answer.detail
