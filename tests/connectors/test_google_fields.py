"""Persons read as contacts, and contacts written as persons' lists."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.connectors.google_contacts import body
from services.connectors.google_contacts.person import fields, person
from services.contracts.contact import Address, Fields, Order, PersonName, Value
from services.contracts.receipts import Unchanged, Written
from tests.connectors.google_rig import ADA, Office, aim, create, must, update

PRIMARY = {"metadata": {"primary": True}}


def shown(**lists: Any) -> Fields:
    return {path: values for path, values in fields(lists).items() if values}


CASES: list[tuple[dict[str, Any], Fields]] = [
    ({"names": [{"givenName": "Ada"}]}, {"name": (PersonName(given="Ada"),)}),
    (
        {"names": [{"honorificPrefix": "Dr", "givenName": "Ada", "familyName": "King", "displayName": "Dr Ada King"}]},
        {"name": (PersonName(prefix="Dr", given="Ada", family="King", full="Dr Ada King"),)},
    ),
    ({"names": [{"unstructuredName": "Cher"}]}, {"name": (PersonName(full="Cher"),)}),
    ({"names": [{"displayName": " "}]}, {}),
    ({"emailAddresses": [{"value": "b@x"}, {"value": "a@x", **PRIMARY}]}, {"emailAddresses": ("a@x", "b@x")}),
    ({"emailAddresses": [{"value": "a@x"}, {"value": "a@x"}, {"type": "home"}]}, {"emailAddresses": ("a@x",)}),
    ({"emailAddresses": [{"value": "p@x", "metadata": {"source": {"type": "PROFILE"}}}]}, {}),
    ({"phoneNumbers": [{"value": "0471 23", "canonicalForm": "+3247123"}]}, {"phoneNumbers": ("0471 23",)}),
    (
        {"addresses": [{"streetAddress": "1 Quay\nDoor 2", "extendedAddress": "3rd floor", "countryCode": "be"}]},
        {"addresses": (Address(line1="1 Quay", line2="Door 2, 3rd floor", country="BE"),)},
    ),
    ({"addresses": [{"poBox": "12", "country": "Belgium"}]}, {"addresses": (Address(line1="12", country="Belgium"),)}),
    ({"addresses": [{"formattedValue": "somewhere"}]}, {}),
    (
        {"organizations": [{"title": "Countess"}, {"name": "Engines", **PRIMARY}]},
        {"company": ("Engines",)},
    ),
    (
        {"organizations": [{"name": "Engines", "title": "Countess"}]},
        {"company": ("Engines",), "job_title": ("Countess",)},
    ),
    ({"biographies": [{"value": "a\nb"}]}, {"note": ("a\nb",)}),
    (
        {
            "userDefined": [
                {"key": "product", "value": "a"},
                {"key": "product", "value": "b"},
                {"key": "", "value": "c"},
            ]
        },
        {"custom.product": ("a", "b")},
    ),
    ({"names": None, "emailAddresses": "a@x", "biographies": [None]}, {}),
]


@pytest.mark.parametrize(("lists", "expected"), CASES)
def test_a_person_is_read(lists: dict[str, Any], expected: Fields) -> None:
    assert shown(**lists) == expected


def test_every_standard_field_is_observed_also_when_empty() -> None:
    assert set(fields({})) == set(ADA)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {},
        {"resourceName": "people/c1"},
        {"resourceName": "people/c1", "metadata": {"deleted": True}},
        {"resourceName": "people/c1/../me", "metadata": {"sources": [{"type": "CONTACT"}]}},
        {"resourceName": "people/c1", "metadata": {"sources": [{"type": "PROFILE", "id": "1"}]}},
    ],
)
def test_what_is_no_contact_is_none(raw: Any) -> None:
    assert person(raw) is None


@pytest.mark.parametrize(
    ("told", "order"),
    [
        ("2026-01-01T00:00:00.000001Z", Order(1767225600000001, 1767225600000001)),
        ("2026-01-01T00:00:00Z", Order(1767225600000000, 1767225600000000)),
        ("2026-01-01T01:00:00.5+01:00", Order(1767225600500000, 1767225600500000)),
        ("2026-01-01T00:00:00", Order(1, 2)),
        ("yesterday", Order(1, 2)),
        (None, Order(1, 2)),
    ],
)
def test_p5_a_contacts_order_is_when_google_changed_it_else_when_it_was_read(told: object, order: Order) -> None:
    found = person({"resourceName": "people/c1", "metadata": {"sources": [{"type": "CONTACT", "updateTime": told}]}})
    assert found is not None
    assert found.order(Order(1, 2)) == order


RAW: dict[str, Any] = {
    "names": [{"givenName": "Ada", "familyName": "King", "displayName": "Ada King", "phoneticGivenName": "Eida"}],
    "emailAddresses": [
        {"value": "a@x", "type": "work", "displayName": "A"},
        {"value": "b@x", "type": "home", "formattedType": "Home"},
    ],
    "addresses": [
        {"streetAddress": "1 Quay", "city": "Ghent", "country": "Belgium", "countryCode": "BE", "type": "home"}
    ],
    "organizations": [{"name": "Engines", "department": "Looms"}, {"name": "Other"}],
    "userDefined": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}],
}

EDITS: list[tuple[Fields, dict[str, Any]]] = [
    ({"name": (PersonName(given="Ada", family="Lovelace"),)},
     {"names": [{"phoneticGivenName": "Eida", "givenName": "Ada", "familyName": "Lovelace"}]}),
    ({"name": (PersonName(full="Cher"),)}, {"names": [{"phoneticGivenName": "Eida", "unstructuredName": "Cher"}]}),
    ({"name": ()}, {"names": []}),
    ({"emailAddresses": ("a@x", "b@x")}, {}),
    ({"emailAddresses": ("b@x", "a@x")},
     {"emailAddresses": [{"value": "b@x", "type": "home"}, {"value": "a@x", "type": "work", "displayName": "A"}]}),
    ({"emailAddresses": ("c@x", "b@x")},
     {"emailAddresses": [{"value": "c@x", "type": "work"}, {"value": "b@x", "type": "home"}]}),
    ({"emailAddresses": ("a@x", "b@x", "c@x")},
     {"emailAddresses": [{"value": "a@x", "type": "work", "displayName": "A"}, {"value": "b@x", "type": "home"},
                         {"value": "c@x"}]}),
    ({"emailAddresses": ()}, {"emailAddresses": []}),
    ({"addresses": (Address(line1="1 Quay", city="Bruges", country="BE"),)},
     {"addresses": [{"streetAddress": "1 Quay", "city": "Bruges", "country": "Belgium", "countryCode": "BE",
                     "type": "home"}]}),
    ({"addresses": (Address(line1="2 Quay", line2="Door 3", country="Congo"),)},
     {"addresses": [{"streetAddress": "2 Quay", "extendedAddress": "Door 3", "country": "Congo", "type": "home"}]}),
    ({"company": ("Looms",)}, {"organizations": [{"name": "Looms", "department": "Looms"}, {"name": "Other"}]}),
    ({"company": (), "job_title": ("Countess",)},
     {"organizations": [{"department": "Looms", "title": "Countess"}, {"name": "Other"}]}),
    ({"note": ("x",)}, {"biographies": [{"value": "x", "contentType": "TEXT_PLAIN"}]}),
    ({"custom.a": ("9",), "custom.c": ("3",)},
     {"userDefined": [{"key": "a", "value": "9"}, {"key": "b", "value": "2"}, {"key": "c", "value": "3"}]}),
    ({"custom.a": ()}, {"userDefined": [{"key": "b", "value": "2"}]}),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "expected"), EDITS)
def test_only_what_changes_is_sent_and_what_stands_beside_it_stays(wanted: Fields, expected: dict[str, Any]) -> None:
    assert body.changed(RAW, wanted) == expected


def test_values_that_stand_twice_or_say_nothing_stay() -> None:
    raw = {"emailAddresses": [{"value": "a@x", "type": "work"}, {"value": "a@x", "type": "home"}, {"type": "other"}]}
    assert body.changed(raw, {"emailAddresses": ("a@x", "b@x")}) == {
        "emailAddresses": [
            {"value": "a@x", "type": "work"},
            {"value": "b@x"},
            {"value": "a@x", "type": "home"},
            {"type": "other"},
        ]
    }


def test_clearing_the_only_thing_that_an_organization_says_removes_it() -> None:
    raw = {"organizations": [{"name": "Engines", "type": "work"}]}
    assert body.changed(raw, {"company": ()}) == {"organizations": []}


def test_p4_a_write_mark_replaces_that_of_its_own_link_and_side_only() -> None:
    raw: dict[str, Any] = {"clientData": [{"key": "theirs", "value": "x"}]}
    for mark in (aim(n=1), aim(n=2), aim(n=1, side="left")):
        raw["clientData"] = body.marked(raw, mark)
    assert [each["key"] for each in raw["clientData"]] == ["theirs", "contactsync_write", "contactsync_write"]
    assert body.is_marked(raw, aim(n=2))
    assert body.is_marked(raw, aim(n=1, side="left"))
    assert not body.is_marked(raw, aim(n=1))


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ({"nickname": ("x",)}, "nickname"),
        ({"custom.": ("x",)}, "custom."),
        ({"name": ("x",)}, "name"),
        ({"note": (Address(line1="x"),)}, "note"),
        ({"company": ("x", "y")}, "company"),
        ({"note": ("\ud800",)}, "note"),
    ],
)
def test_d10_what_cant_be_sent_is_refused_by_field(wanted: Fields, path: str) -> None:
    refused = body.unwritable({"company": ("fine",), **wanted})
    assert refused is not None
    assert refused.fields == (path,)


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)
PART = st.one_of(st.just(""), TEXT)
NAMES = st.builds(PersonName, prefix=PART, given=TEXT, middle=PART, family=PART, suffix=PART)
ADDRESSES = st.builds(
    Address,
    line1=TEXT,
    line2=PART,
    city=PART,
    state=PART,
    postal_code=PART,
    country=st.sampled_from(["", "BE", "Congo"]),
)


def many(values: st.SearchStrategy[Any], size: int = 3) -> st.SearchStrategy[tuple[Value, ...]]:
    return st.lists(values, max_size=size, unique=True).map(tuple)


WHOLE = st.fixed_dictionaries(
    {
        "name": many(NAMES, 1),
        "emailAddresses": many(TEXT.map(lambda text: f"{text}@x.example")),
        "phoneNumbers": many(TEXT),
        "addresses": many(ADDRESSES),
        "company": many(TEXT, 1),
        "job_title": many(TEXT, 1),
        "note": many(TEXT, 1),
        "custom.product": many(TEXT, 1),
    }
)


@settings(max_examples=40, deadline=None)
@given(first=WHOLE, second=WHOLE)
async def test_fields_round_trip_through_a_create_and_an_update(first: Fields, second: Fields) -> None:
    def comparable(found: Fields) -> Fields:
        bare = {path: found.get(path, ()) for path in WHOLE_PATHS}
        names = (PersonName(**{**_parts(name), "full": ""}) for name in bare["name"] if isinstance(name, PersonName))
        return {**bare, "name": tuple(names)}

    async with Office() as office:
        made = must(await office.write(create(first)), Written)
        seen = await office.look(made.contact_id)
        assert comparable(seen.contact.fields) == comparable(first)
        assert made.seen is not None
        assert made.seen.contact == seen.contact
        outcome = await office.write(update(seen, second))
        assert isinstance(outcome, Written | Unchanged)
        after = await office.look(made.contact_id)
        assert comparable(after.contact.fields) == comparable(second)
        assert after.contact.mark == seen.contact.mark
        assert outcome.contact_id == seen.contact_id


WHOLE_PATHS = (*ADA, "custom.product")


def _parts(name: PersonName) -> dict[str, str]:
    return {part: getattr(name, part) for part in ("prefix", "given", "middle", "family", "suffix")}
