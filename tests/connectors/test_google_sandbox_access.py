"""The sandbox's doors: tokens, quotas, changes one after the other, faults, accounts."""

import asyncio
from typing import Any

import httpx2
import pytest

from services.connectors.google_contacts.sandbox import Limits
from tests.connectors.google_rig import BASE, Office


async def asked(office: Office, **form: str) -> tuple[int, Any]:
    given = {
        "client_id": office.box.oauth.client_id,
        "client_secret": office.box.oauth.client_secret,
        "refresh_token": office.box.refresh_token,
        "grant_type": "refresh_token",
        **form,
    }
    response = await office.http.post(f"{BASE}/token", data=given)
    return response.status_code, response.json()


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "wrong"}, 401, "invalid_client"),
        ({"refresh_token": "wrong"}, 400, "invalid_grant"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
async def test_the_token_endpoint_refuses(form: dict[str, str], status: int, error: str) -> None:
    async with Office() as office:
        got, answer = await asked(office, **form)
        assert (got, answer["error"]) == (status, error)


async def test_access_tokens_expire_and_end_with_the_grant() -> None:
    async with Office() as office:
        _, answer = await asked(office)
        token = answer["access_token"]
        assert (await office.call("GET", "contactGroups", token=token))[0] == 200
        office.clock.advance(answer["expires_in"])
        status, refusal = await office.call("GET", "contactGroups", token=token)
        assert (status, refusal["error"]["status"]) == (401, "UNAUTHENTICATED")
        _, answer = await asked(office)
        office.box.oauth.revoke(office.box.refresh_token)
        assert (await office.call("GET", "contactGroups", token=answer["access_token"]))[0] == 401
        assert (await asked(office))[1]["error"] == "invalid_grant"


@pytest.mark.parametrize("token", ["wrong", "x y"])
async def test_a_wrong_access_token_is_refused(token: str) -> None:
    async with Office() as office:
        assert (await office.call("GET", "contactGroups", token=token))[0] == 401


async def test_quotas_are_per_minute_and_user() -> None:
    async with Office() as office:
        office.box.quota.limits = Limits(critical_read=2, write=1)
        token = office.access_token()
        body: dict[str, Any] = {}
        codes = [
            (await office.call("POST", "people:createContact", token=token, body=body, personFields="names"))[0],
            (await office.call("POST", "people:createContact", token=token, body=body, personFields="names"))[0],
            (await office.call("GET", "contactGroups", token=token))[0],
            (await office.call("GET", "contactGroups", token=token))[0],
        ]
        assert codes == [200, 429, 200, 429], "a write with a read mask is a critical read too"
        assert len(office.box.hand.everybody()) == 1
        _, refusal = await office.call("GET", "contactGroups", token=token)
        assert refusal["error"]["details"][0]["reason"] == "RATE_LIMIT_EXCEEDED"
        other = office.box.account("other")
        assert other.quota.limits == Limits()
        office.clock.advance(60)
        assert (await office.call("GET", "contactGroups", token=token))[0] == 200


@pytest.mark.parametrize(("strict", "statuses"), [(False, [200, 200]), (True, [200, 409])])
async def test_overlapping_changes_of_one_user_are_noted_or_refused(strict: bool, statuses: list[int]) -> None:
    async with Office() as office:
        office.box.server.strict = strict
        token = office.access_token()
        gate = office.box.faults.hold("POST")
        first = asyncio.create_task(office.call("POST", "people:createContact", token=token, body={}))
        while not office.box.requests.to("POST"):  # noqa: ASYNC110 - it arrives in the other task
            await asyncio.sleep(0)
        second = await office.call("POST", "people:createContact", token=token, body={})
        gate.set()
        assert [(await first)[0], second[0]] == statuses
        assert [each.overlapping for each in office.box.requests.to("POST", "/v1/*")] == [False, True]


async def test_accounts_are_apart() -> None:
    async with Office() as office:
        other = office.box.account("other")
        other.hand.create("bea@x.example")
        assert office.box.hand.everybody() == []
        form = {"refresh_token": other.refresh_token}
        token = (await asked(office, **form))[1]["access_token"]
        _, answer = await office.call("GET", "people/me/connections", token=token, personFields="names")
        assert answer["totalItems"] == 1


@pytest.mark.parametrize("executed", [True, False])
async def test_an_answer_gets_lost_after_or_before_the_change(executed: bool) -> None:
    async with Office() as office:
        office.box.faults.drop("POST", executed=executed)
        with pytest.raises(httpx2.RemoteProtocolError):
            await office.call("POST", "people:createContact", body={}, personFields="names")
        assert len(office.box.hand.everybody()) == int(executed)
        assert len(office.box.requests.writes()) == int(executed)


@pytest.mark.parametrize("executed", [True, False])
async def test_a_server_fails_after_or_before_the_change(executed: bool) -> None:
    async with Office() as office:
        office.box.faults.fail(503, "POST", executed=executed)
        status, answer = await office.call("POST", "people:createContact", body={}, personFields="names")
        assert (status, answer["error"]["status"]) == (503, "UNAVAILABLE")
        assert len(office.box.hand.everybody()) == int(executed)


async def test_an_unknown_address_is_not_found() -> None:
    async with Office() as office:
        assert (await office.call("GET", "people/me/watch"))[0] == 404
