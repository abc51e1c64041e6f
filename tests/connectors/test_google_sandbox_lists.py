"""The sandbox's connections.list and searchContacts: pages, sync tokens, propagation, expiry."""

from typing import Any

import pytest

from services.connectors.google_contacts.sandbox import Limits
from tests.connectors.google_rig import Office

LIST = {"personFields": "names,emailAddresses,metadata", "requestSyncToken": "true"}
CONNECTIONS = "people/me/connections"


def names(answer: dict[str, Any]) -> list[str]:
    return [row["resourceName"] for row in answer.get("connections", [])]


async def listed(office: Office, **params: str) -> dict[str, Any]:
    status, answer = await office.call("GET", CONNECTIONS, **{**LIST, **params})
    assert status == 200, answer
    return dict(answer)


async def refused(office: Office, **params: str) -> dict[str, Any]:
    status, answer = await office.call("GET", CONNECTIONS, **{**LIST, **params})
    assert status == 400, answer
    return dict(answer["error"])


async def test_pages_hold_a_hundred_unless_told_otherwise_and_the_sync_token_comes_last() -> None:
    async with Office() as office:
        made = [office.box.hand.create(f"p{n}@x.example") for n in range(150)]
        first = await listed(office)
        assert (len(names(first)), "nextSyncToken" in first, first["totalItems"]) == (100, False, 150)
        second = await listed(office, pageToken=first["nextPageToken"])
        assert ("nextPageToken" in second, "nextSyncToken" in second) == (False, True)
        assert names(first) + names(second) == made


@pytest.mark.parametrize("size", ["-1", "1001", "many"])
async def test_a_page_size_out_of_bounds_is_refused(size: str) -> None:
    async with Office() as office:
        assert "pageSize" in (await refused(office, pageSize=size))["message"]


@pytest.mark.parametrize("fields", ["", "shoeSize", "names,shoeSize"])
async def test_a_mask_is_required_and_checked(fields: str) -> None:
    async with Office() as office:
        await refused(office, personFields=fields)


async def test_a_page_token_is_good_for_the_same_parameters_only() -> None:
    async with Office() as office:
        for n in range(3):
            office.box.hand.create(f"p{n}@x.example")
        first = await listed(office, pageSize="2")
        assert "differ" in (await refused(office, pageSize="1", pageToken=first["nextPageToken"]))["message"]
        await refused(office, pageSize="2", pageToken="gibberish")


async def test_a_sync_token_is_good_for_the_same_parameters_only() -> None:
    async with Office() as office:
        token = (await listed(office))["nextSyncToken"]
        assert "differ" in (await refused(office, personFields="names", syncToken=token))["message"]


async def test_a_sync_shows_changes_and_deletions_once() -> None:
    async with Office() as office:
        kept, gone, _ = (office.box.hand.create(f"p{n}@x.example") for n in range(3))
        token = (await listed(office))["nextSyncToken"]
        office.box.hand.update(kept, names=[{"givenName": "Ada"}])
        office.box.hand.update(kept, names=[{"givenName": "Bea"}])
        office.box.hand.delete(gone)
        answer = await listed(office, syncToken=token)
        assert names(answer) == [kept, gone]
        assert answer["connections"][0]["names"][0]["givenName"] == "Bea"
        assert answer["connections"][1]["metadata"] == {"deleted": True}
        assert names(await listed(office, syncToken=answer["nextSyncToken"])) == []


async def test_a_full_list_has_no_tombstones() -> None:
    async with Office() as office:
        office.box.hand.delete(office.box.hand.create("p@x.example"))
        assert names(await listed(office)) == []


async def test_pages_of_one_list_show_one_state() -> None:
    async with Office() as office:
        made = [office.box.hand.create(f"p{n}@x.example") for n in range(4)]
        first = await listed(office, pageSize="2")
        office.box.hand.delete(made[3])
        second = await listed(office, pageSize="2", pageToken=first["nextPageToken"])
        assert names(second) == made[2:]
        third = await listed(office, pageSize="2", syncToken=second["nextSyncToken"])
        assert names(third) == [made[3]]


@pytest.mark.parametrize(("days", "good"), [(6.9, True), (7.1, False)])
async def test_a_sync_token_expires_seven_days_after_the_full_sync(days: float, good: bool) -> None:
    async with Office() as office:
        token = (await listed(office))["nextSyncToken"]
        office.clock.advance(3 * 86400)
        token = (await listed(office, syncToken=token))["nextSyncToken"]
        office.clock.advance((days - 3) * 86400)
        if good:
            await listed(office, syncToken=token)
            return
        error = await refused(office, syncToken=token)
        assert (error["code"], error["status"]) == (400, "FAILED_PRECONDITION")
        assert error["message"] == "Sync token is expired. Clear local cache and retry call without the sync token."
        assert error["details"][0]["reason"] == "EXPIRED_SYNC_TOKEN"


async def test_the_first_page_of_a_full_sync_has_a_quota_of_its_own() -> None:
    async with Office() as office:
        office.box.quota.limits = Limits(full_sync=1)
        token = (await listed(office))["nextSyncToken"]
        status, answer = await office.call("GET", CONNECTIONS, **LIST)
        assert (status, answer["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
        await listed(office, syncToken=token)
        office.clock.advance(60)
        await listed(office)


async def test_lists_and_searches_show_a_change_after_the_delay_and_a_get_at_once() -> None:
    async with Office(delay=300) as office:
        made = office.box.hand.create("ada@x.example")
        search = {"query": "ada", "readMask": "names"}
        assert names(await listed(office)) == []
        assert (await office.call("GET", made, personFields="names"))[0] == 200
        office.clock.advance(301)
        assert names(await listed(office)) == [made]
        assert (await office.call("GET", "people:searchContacts", **search))[1] == {}, "the cache isn't warm yet"
        await office.call("GET", "people:searchContacts", query="", readMask="names")
        found = (await office.call("GET", "people:searchContacts", **search))[1]
        assert found["results"][0]["person"]["resourceName"] == made


@pytest.mark.parametrize(
    ("query", "hit"),
    [("ada@x", True), ("Ada", True), ("king", True), ("ada ki", True), ("da", False), ("engi", True), ("+32", True)],
)
async def test_a_search_goes_by_the_beginnings_of_words(query: str, hit: bool) -> None:
    async with Office() as office:
        office.box.hand.create(
            "ada@x.example", "Ada King", organizations=[{"name": "Engines"}], phoneNumbers=[{"value": "+3247"}]
        )
        for asked in ("", query):
            status, found = await office.call("GET", "people:searchContacts", query=asked, readMask="names")
            assert status == 200
        assert bool(found) == hit


async def test_a_search_shows_ten_and_at_most_thirty() -> None:
    async with Office() as office:
        for n in range(40):
            office.box.hand.create(f"p{n}@x.example")
        await office.call("GET", "people:searchContacts", query="", readMask="names")
        for size, count in (("", 10), ("30", 30), ("500", 30)):
            given = {"query": "p", "readMask": "names", "pageSize": size}
            assert len((await office.call("GET", "people:searchContacts", **given))[1]["results"]) == count


async def test_a_changed_resource_name_is_told_in_syncs_only() -> None:
    async with Office() as office:
        old = office.box.hand.create("ada@x.example")
        token = (await listed(office))["nextSyncToken"]
        new = office.box.hand.rename(old)
        row = (await listed(office, syncToken=token))["connections"][0]
        assert (row["resourceName"], row["metadata"]["previousResourceNames"]) == (new, [old])
        assert "previousResourceNames" not in (await listed(office))["connections"][0]["metadata"]
        assert (await office.call("GET", old, personFields="names"))[0] == 404


async def test_a_restored_contact_reappears_within_thirty_days() -> None:
    async with Office() as office:
        made = office.box.hand.create("ada@x.example")
        office.box.hand.delete(made)
        token = (await listed(office))["nextSyncToken"]
        office.box.hand.restore(made)
        assert names(await listed(office, syncToken=token)) == [made]
        office.box.hand.delete(made)
        office.clock.advance(31 * 86400)
        with pytest.raises(ValueError, match="30 days"):
            office.box.hand.restore(made)
