"""The sandbox: it enforces the API's rules, whoever asks."""

import asyncio
import base64
import json
from typing import Any

import httpx2
import pytest

from services.connectors.quickbooks.sandbox import QuickBooksSandbox, serve
from tests.connectors.quickbooks_rig import BASE, Books

MINOR = {"minorversion": "75"}


def access_token(box: QuickBooksSandbox, refresh_token: str = "") -> str:
    identity = base64.b64encode(f"{box.oauth.client_id}:{box.oauth.client_secret}".encode()).decode()
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token or box.refresh_token}
    return str(box.oauth.token(f"Basic {identity}", form)["access_token"])


async def call(books: Books, method: str, path: str, body: object = None, token: str = "", **params: str) -> Any:
    """Ask as a client of its own; returns (status, answer)."""
    headers = {"authorization": f"Bearer {token or access_token(books.box)}"}
    url = f"{BASE}/v3/company/{books.box.realm}/{path}"
    response = await books.http.request(method, url, params={**MINOR, **params}, json=body, headers=headers)
    return response.status_code, response.json()


async def post(books: Books, **fields: Any) -> Any:
    return await call(books, "POST", "customer", fields)


async def query(books: Books, statement: str) -> Any:
    status, answer = await call(books, "GET", "query", query=statement)
    if status != 200:
        return answer["Fault"]["Error"][0]["code"]
    return [row["DisplayName"] for row in answer["QueryResponse"].get("Customer", [])]


def code(answer: tuple[int, Any]) -> str:
    assert answer[0] == 400
    return str(answer[1]["Fault"]["Error"][0]["code"])


async def test_a_customer_is_made_read_and_changed() -> None:
    async with Books() as books:
        status, answer = await post(books, GivenName="Ada", FamilyName="King", BillAddr={"City": "Ghent"})
        made = answer["Customer"]
        assert (status, made["DisplayName"], made["SyncToken"], made["Active"]) == (200, "Ada King", "0", True)
        assert made["BillAddr"]["Id"]
        assert answer["time"]
        status, answer = await call(books, "GET", f"customer/{made['Id']}")
        assert (status, answer["Customer"]) == (200, made)


async def test_a_sparse_update_merges_and_a_full_one_clears() -> None:
    async with Books() as books:
        _, answer = await post(
            books, DisplayName="Ada", Notes="n", CompanyName="c", BillAddr={"City": "x", "Line1": "y"}
        )
        ident = answer["Customer"]["Id"]
        _, answer = await post(books, Id=ident, SyncToken="0", sparse=True, Notes="", BillAddr={"City": "z"})
        row = answer["Customer"]
        assert ("Notes" in row, row["CompanyName"], row["SyncToken"]) == (False, "c", "1")
        assert (row["BillAddr"]["City"], row["BillAddr"]["Line1"]) == ("z", "y")
        _, answer = await post(books, Id=ident, SyncToken="1", DisplayName="Ada")
        assert not {"CompanyName", "BillAddr"} & answer["Customer"].keys()


async def test_an_old_sync_token_is_refused() -> None:
    async with Books() as books:
        ident = books.hand.create("Ada")
        books.hand.update(ident, Notes="x")
        assert code(await post(books, Id=ident, SyncToken="0", sparse=True, Notes="y")) == "5010"
        assert code(await post(books, Id=ident, sparse=True, Notes="y")) == "2020"
        assert code(await post(books, Id="777", SyncToken="0", sparse=True)) == "610"
        assert books.hand.get(ident)["Notes"] == "x"


async def test_names_are_unique_among_customers_vendors_and_employees() -> None:
    async with Books() as books:
        books.hand.employ("Vera Vendor")
        one, two = books.hand.create("One"), books.hand.create("Two")
        assert code(await post(books, DisplayName="vera vendor")) == "6240"
        assert code(await post(books, DisplayName=" ONE ")) == "6240"
        assert code(await post(books, Id=two, SyncToken="0", sparse=True, DisplayName="One")) == "6240"
        assert (await post(books, Id=one, SyncToken="0", sparse=True, DisplayName="ONE"))[0] == 200


async def test_an_inactive_customer_takes_no_changes_but_its_return() -> None:
    async with Books() as books:
        ident = books.hand.create("Ada")
        books.hand.deactivate(ident)
        assert code(await post(books, Id=ident, SyncToken="1", sparse=True, Notes="x")) == "610"
        status, answer = await post(books, Id=ident, SyncToken="1", sparse=True, Active=True)
        assert (status, answer["Customer"]["DisplayName"]) == (200, "Ada")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "6080"),
        ({"Notes": "x"}, "6080"),
        ({"DisplayName": "a:b"}, "2040"),
        ({"DisplayName": "a\tb"}, "2040"),
        ({"GivenName": "a\nb"}, "2040"),
        ({"DisplayName": "x" * 501}, "2050"),
        ({"DisplayName": "x", "Title": "x" * 17}, "2050"),
        ({"DisplayName": "x", "PrimaryPhone": {"FreeFormNumber": "1" * 31}}, "2050"),
        ({"DisplayName": "x", "PrimaryPhone": "1"}, "2010"),
        ({"DisplayName": "x", "Nickname": "y"}, "2010"),
        ({"DisplayName": "x", "BillAddr": {"Street": "y"}}, "2010"),
        ({"DisplayName": "x", "Active": "yes"}, "2110"),
        ({"DisplayName": 5}, "2010"),
        ({"DisplayName": "x", "PrimaryEmailAddr": {"Address": "nobody"}}, "2210"),
        ({"DisplayName": "x", "PrimaryEmailAddr": {"Address": "a@x.example, b"}}, "2210"),
        ({"DisplayName": "x", "SyncToken": "0"}, "2010"),
    ],
)
async def test_what_a_customer_cant_be_is_refused(fields: dict[str, Any], expected: str) -> None:
    async with Books() as books:
        assert code(await post(books, **fields)) == expected
        assert books.hand.everybody() == []


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT * FROM Customer", ["O'Neil", "Bea"]),
        (
            "select * from Customer where Active in (true, false) orderby DisplayName",
            ["Bea", "Cem (deleted)", "O'Neil"],
        ),
        ("SELECT * FROM Customer WHERE Active = false", ["Cem (deleted)"]),
        (r"SELECT * FROM Customer WHERE DisplayName = 'O\'Neil'", ["O'Neil"]),
        (r"SELECT * FROM Customer WHERE DisplayName IN ('bea', 'O\'Neil')", ["O'Neil", "Bea"]),
        ("SELECT * FROM Customer WHERE PrimaryEmailAddr LIKE '%B@X.example%'", ["Bea"]),
        ("SELECT * FROM Customer WHERE PrimaryEmailAddr = 'b@x'", []),
        ("SELECT * FROM Customer WHERE Id > '1'", ["Bea"]),
        ("SELECT * FROM Customer STARTPOSITION 2 MAXRESULTS 1", ["Bea"]),
        ("SELECT * FROM Customer WHERE MetaData.CreateTime >= '2025-12-31T16:00:00-08:00' AND Id < '2'", ["O'Neil"]),
        ("SELECT * FROM Customer WHERE MetaData.CreateTime > '2026-01-01T00:00:00Z'", []),
        ("SELECT * FROM Customer MAXRESULTS 1001", "4000"),
        ("SELECT * FROM Customer STARTPOSITION 0", "4000"),
        ("SELECT DisplayName FROM Customer", "4000"),
        ("SELECT * FROM Customer WHERE Active = true OR Id = '1'", "4000"),
        ("SELECT * FROM Customer WHERE DisplayName = Bea", "4000"),
        ("SELECT * FROM Customer WHERE DisplayName = 'O'Neil'", "4000"),
        ("SELECT * FROM Customer WHERE DisplayName != 'x'", "4000"),
        ("SELECT * FROM Customer WHERE Notes = 'x'", "4001"),
        ("SELECT * FROM Customer ORDERBY PrimaryEmailAddr", "4001"),
        ("SELECT * FROM Invoice", "4000"),
        ("", "4000"),
        ("SELECT * FROM Customer; DROP", "4000"),
    ],
)
async def test_the_query_language(statement: str, expected: list[str] | str) -> None:
    async with Books() as books:
        books.hand.create("O'Neil")
        books.hand.create("Bea", "b@x.example")
        books.hand.deactivate(books.hand.create("Cem"))
        assert await query(books, statement) == expected


async def test_changes_since_a_moment() -> None:
    async with Books() as books:
        old = books.hand.create("Old")
        books.clock.advance(3600)
        new, merged = books.hand.create("New"), books.hand.create("Merged")
        books.hand.merge(merged, new)
        status, answer = await call(books, "GET", "cdc", entities="Customer", changedSince="2026-01-01T00:30:00Z")
        rows = answer["CDCResponse"][0]["QueryResponse"][0]["Customer"]
        assert status == 200
        assert [(row["Id"], row.get("status")) for row in rows] == [(new, None), (merged, "Deleted")]
        assert old not in {row["Id"] for row in rows}
        answer = await call(books, "GET", "cdc", entities="Customer", changedSince="2025-11-01T00:00:00Z")
        assert code(answer) == "2030"
        assert code(await call(books, "GET", "cdc", entities="Invoice", changedSince="2026-01-01")) == "2010"


async def test_a_repeated_requestid_gets_the_first_answer() -> None:
    async with Books() as books:
        first = await call(books, "POST", "customer", {"DisplayName": "Ada"}, requestid="r1")
        books.clock.advance(60)
        assert await call(books, "POST", "customer", {"DisplayName": "Ada"}, requestid="r1") == first
        assert len(books.hand.everybody()) == 1
        assert code(await call(books, "POST", "customer", {"DisplayName": "Bea"}, requestid="r" * 51)) == "2010"


async def test_tokens_open_one_company_and_expire() -> None:
    async with Books() as books:
        token = access_token(books.box)
        other = access_token(books.box, books.box.company("42").refresh_token)
        assert (await call(books, "GET", "customer/1", token=token))[0] == 400
        status, answer = await call(books, "GET", "customer/1", token=other)
        assert (status, answer["fault"]["error"][0]["code"]) == (403, "3100")
        books.clock.advance(3600)
        status, answer = await call(books, "GET", "customer/1", token=token)
        assert (status, answer["fault"]["error"][0]["code"]) == (401, "3200")
        assert (await call(books, "GET", "customer/1", token="x"))[0] == 401


async def test_a_company_is_asked_five_hundred_times_a_minute_at_most() -> None:
    async with Books() as books:
        token = access_token(books.box)
        books.box.quota.minute = 3
        answers = [(await call(books, "GET", "customer/1", token=token))[0] for _ in range(5)]
        assert answers == [400, 400, 400, 429, 429]
        books.clock.advance(61)
        assert (await call(books, "GET", "customer/1", token=token))[0] == 400
        books.box.quota.minute, books.box.quota.second = 500, 1
        assert (await call(books, "GET", "customer/1", token=token))[0] == 429


async def test_old_minor_versions_are_refused() -> None:
    async with Books() as books:
        assert code(await call(books, "GET", "customer/1", minorversion="74")) == "2010"


async def test_answers_get_lost_before_and_after_the_change() -> None:
    async with Books() as books:
        for executed in (False, True):
            books.box.faults.drop("POST", executed=executed)
            with pytest.raises(httpx2.RemoteProtocolError):
                await post(books, DisplayName=f"Ada {executed}")
        assert [row["DisplayName"] for row in books.hand.everybody()] == ["Ada True"]


async def test_it_serves_over_http_and_cuts_connections() -> None:
    box = QuickBooksSandbox()
    async with serve(box) as base, httpx2.AsyncClient(trust_env=False) as http, asyncio.timeout(20):
        headers = {"authorization": f"Bearer {access_token(box)}"}
        url = f"{base}/v3/company/{box.realm}/customer"
        made = await http.post(url, params=MINOR, content=json.dumps({"DisplayName": "Ada"}), headers=headers)
        assert made.json()["Customer"]["Id"] == "1"
        box.faults.drop("POST")
        with pytest.raises(httpx2.TransportError):
            await http.post(url, params=MINOR, content=json.dumps({"DisplayName": "Bea"}), headers=headers)
        assert len(box.hand.everybody()) == 2
