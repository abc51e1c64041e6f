"""The sandbox's writes: etags, masks, singletons, labels, batches."""

from typing import Any

import pytest

from tests.connectors.google_rig import Office

FIELDS = "names,emailAddresses,biographies,memberships,metadata"


def sources(person: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"sources": person["metadata"]["sources"]}}


async def created(office: Office, **fields: Any) -> dict[str, Any]:
    status, person = await office.call("POST", "people:createContact", body=fields, personFields=FIELDS)
    assert status == 200, person
    return dict(person)


async def updated(office: Office, person: dict[str, Any], mask: str, **fields: Any) -> tuple[int, Any]:
    path, body = f"{person['resourceName']}:updateContact", {**sources(person), **fields}
    status, answer = await office.call("PATCH", path, body=body, updatePersonFields=mask, personFields=FIELDS)
    return status, answer


async def test_a_contact_is_created_into_my_contacts_with_a_display_name() -> None:
    async with Office() as office:
        person = await created(office, names=[{"givenName": "Ada", "familyName": "King"}])
        assert person["names"][0]["displayName"] == "Ada King"
        group = person["memberships"][0]["contactGroupMembership"]["contactGroupResourceName"]
        assert group == "contactGroups/myContacts"


@pytest.mark.parametrize("field", ["names", "biographies", "birthdays", "genders"])
async def test_a_second_value_of_a_singleton_is_refused(field: str) -> None:
    async with Office() as office:
        status, answer = await office.call("POST", "people:createContact", body={field: [{}, {}]}, personFields=FIELDS)
        assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Ada"},
        {"names": [{"first": "Ada"}]},
        {"phoneNumbers": "123"},
        {"phoneNumbers": ["123"]},
        {"emailAddresses": [{"value": 1}]},
    ],
)
async def test_what_the_api_doesnt_know_is_refused(body: dict[str, Any]) -> None:
    async with Office() as office:
        status, _ = await office.call("POST", "people:createContact", body=body, personFields=FIELDS)
        assert status == 400
        assert office.box.hand.everybody() == []


async def test_an_update_replaces_the_fields_of_its_mask_and_keeps_the_others() -> None:
    async with Office() as office:
        person = await created(
            office, emailAddresses=[{"value": "a@x"}, {"value": "b@x"}], biographies=[{"value": "n"}]
        )
        status, after = await updated(office, person, "emailAddresses", emailAddresses=[{"value": "c@x"}])
        assert status == 200
        assert [each["value"] for each in after["emailAddresses"]] == ["c@x"]
        assert after["biographies"][0]["value"] == "n"
        status, cleared = await updated(office, after, "emailAddresses,biographies")
        assert status == 200
        assert not cleared.keys() & {"emailAddresses", "biographies"}


async def test_an_update_under_a_stale_etag_is_refused() -> None:
    async with Office() as office:
        person = await created(office, biographies=[{"value": "n"}])
        office.box.hand.update(person["resourceName"], names=[{"givenName": "Ada"}])
        status, answer = await updated(office, person, "biographies", biographies=[{"value": "m"}])
        assert (status, answer["error"]["status"]) == (400, "FAILED_PRECONDITION")
        assert answer["error"]["details"][0]["reason"] == "failedPrecondition"
        assert office.box.hand.get(person["resourceName"])["biographies"][0]["value"] == "n"


async def test_consecutive_updates_go_under_the_etag_of_the_answer() -> None:
    async with Office() as office:
        person = await created(office, biographies=[{"value": "1"}])
        for n in range(3):
            status, person = await updated(office, person, "biographies", biographies=[{"value": str(n)}])
            assert status == 200


@pytest.mark.parametrize("mask", ["", "shoeSize", "metadata"])
async def test_an_update_needs_a_mask_of_writable_fields(mask: str) -> None:
    async with Office() as office:
        person = await created(office)
        assert (await updated(office, person, mask))[0] == 400


async def test_an_update_needs_the_contacts_source() -> None:
    async with Office() as office:
        person = await created(office)
        path = f"{person['resourceName']}:updateContact"
        assert (await office.call("PATCH", path, body={}, updatePersonFields="names"))[0] == 400


async def test_the_memberships_must_not_become_empty() -> None:
    async with Office() as office:
        person = await created(office)
        status, answer = await updated(office, person, "memberships", memberships=[])
        assert status == 400
        assert "memberships" in answer["error"]["message"]


async def test_a_deleted_contact_answers_404() -> None:
    async with Office() as office:
        name = (await created(office))["resourceName"]
        assert await office.call("DELETE", f"{name}:deleteContact") == (200, {})
        for method, path in (("GET", name), ("DELETE", f"{name}:deleteContact")):
            status, answer = await office.call(method, path, personFields="names")
            assert (status, answer["error"]["status"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("mask", ["", "shoeSize"])
async def test_reading_a_contact_needs_a_mask(mask: str) -> None:
    async with Office() as office:
        name = (await created(office))["resourceName"]
        assert (await office.call("GET", name, personFields=mask))[0] == 400


async def test_label_names_are_unique() -> None:
    async with Office() as office:
        body = {"contactGroup": {"name": "Customers"}}
        assert (await office.call("POST", "contactGroups", body=body))[0] == 200
        assert (await office.call("POST", "contactGroups", body=body))[0] == 409
        assert (await office.call("POST", "contactGroups", body={"contactGroup": {"name": "starred"}}))[0] == 409


async def test_members_are_added_and_removed_but_not_out_of_their_last_group() -> None:
    async with Office() as office:
        name = (await created(office))["resourceName"]
        group = (await office.call("POST", "contactGroups", body={"contactGroup": {"name": "Customers"}}))[1]
        path = f"{group['resourceName']}/members:modify"
        body: dict[str, Any] = {"resourceNamesToAdd": [name, "people/c1"]}
        assert await office.call("POST", path, body=body) == (200, {"notFoundResourceNames": ["people/c1"]})
        assert office.box.hand.labels(name) == ["Customers"]
        body = {"resourceNamesToRemove": [name]}
        mine = "contactGroups/myContacts/members:modify"
        assert await office.call("POST", mine, body=body) == (200, {})
        status, answer = await office.call("POST", path, body=body)
        assert (status, answer) == (200, {"canNotRemoveLastContactGroupResourceNames": [name]})


@pytest.mark.parametrize(("group", "status"), [("starred", 200), ("myContacts", 200), ("friends", 400), ("beef", 404)])
async def test_of_the_system_groups_two_take_members(group: str, status: int) -> None:
    async with Office() as office:
        name = office.box.hand.create("ada@x.example")
        body = {"resourceNamesToAdd": [name]}
        assert (await office.call("POST", f"contactGroups/{group}/members:modify", body=body))[0] == status


@pytest.mark.parametrize(
    ("path", "most"), [("batchCreateContacts", 200), ("batchUpdateContacts", 200), ("batchDeleteContacts", 500)]
)
async def test_batches_have_a_limit(path: str, most: int) -> None:
    async with Office() as office:
        names = [office.box.hand.create() for _ in range(most + 1)]
        people = {name: office.box.hand.get(name) for name in names}
        for count, status in ((most + 1, 400), (most, 200)):
            bodies: dict[str, dict[str, Any]] = {
                "batchCreateContacts": {"contacts": [{"contactPerson": {}}] * count, "readMask": "names"},
                "batchUpdateContacts": {
                    "contacts": {name: sources(people[name]) for name in names[:count]},
                    "updateMask": "names",
                },
                "batchDeleteContacts": {"resourceNames": names[:count]},
            }
            assert (await office.call("POST", f"people:{path}", body=bodies[path]))[0] == status


async def test_a_batch_read_tells_each_ones_status() -> None:
    async with Office() as office:
        name = office.box.hand.create("ada@x.example")
        token = office.access_token()
        params = {"personFields": "names", "resourceNames": [name, "people/c1"]}
        url = "http://google.test/v1/people:batchGet"
        answer = await office.http.get(url, params=params, headers={"authorization": f"Bearer {token}"})
        assert [row["httpStatusCode"] for row in answer.json()["responses"]] == [200, 404]
        many = {"personFields": "names", "resourceNames": [f"people/c{n}" for n in range(201)]}
        over = await office.http.get(url, params=many, headers={"authorization": f"Bearer {token}"})
        assert over.status_code == 400


async def test_an_update_batch_tells_whose_etag_was_stale() -> None:
    async with Office() as office:
        stale, fine = (await created(office), await created(office))
        office.box.hand.update(stale["resourceName"], names=[{"givenName": "Ada"}])
        contacts = {each["resourceName"]: {**sources(each), "biographies": [{"value": "n"}]} for each in (stale, fine)}
        body = {"contacts": contacts, "updateMask": "biographies", "readMask": "biographies"}
        _, answer = await office.call("POST", "people:batchUpdateContacts", body=body)
        statuses = [row["httpStatusCode"] for row in answer["updateResult"].values()]
        assert statuses == [400, 200]
