"""Several customers in one request: an answer to each, and what becomes of the request as a whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from services.connectors.quickbooks.online import QuickBooks
from services.connectors.quickbooks.sandbox import Fail, QuickBooksSandbox
from services.connectors.verdicts import verdict_on
from services.contracts.app import Trouble, Verdict
from services.contracts.commands import Create, Update
from services.contracts.contact import Fields, PersonName
from services.contracts.receipts import Observation, Refused, Written
from services.runtime.app import Absence, Attempt, Batches
from tests.connectors.quickbooks_rig import ADA, Books, create, must, tag, update

BOB: Fields = {"name": (PersonName(given="Bob", family="Ray", full="Bob Ray"),), "PrimaryEmailAddr": ("bob@x.example",)}
CYD: Fields = {"name": (PersonName(given="Cyd", family="Ash", full="Cyd Ash"),), "PrimaryEmailAddr": ("cyd@x.example",)}


def link(number: int) -> str:
    return f"0b6e9d0c-5a44-5c6c-9d1c-{number:012x}"


async def send(books: Books, *commands: Create | Update, n: int = 0) -> Any:
    writes = [(command, Attempt(key=f"key-{at}", n=n, first=None)) for at, command in enumerate(commands)]
    answers = await books.app.write_all(books.access(), writes)
    assert isinstance(answers, Trouble) or len(answers) == len(commands)
    return answers


def paths(box: QuickBooksSandbox) -> list[str]:
    return [each.path.rpartition("/")[2] for each in box.requests.to("POST", "/v3/*")]


def kinds(answers: Sequence[object]) -> list[object]:
    return [answer.key if isinstance(answer, Trouble) else type(answer) for answer in answers]


async def test_creates_and_updates_go_in_one_request() -> None:
    async with Books() as books:
        assert isinstance(books.app, Batches)
        bob = await books.look(books.hand.create("Bob Ray", "bob@x.example"))
        books.box.requests.clear()
        made, changed = must(await send(books, create(), update(bob, {"Notes": ("VIP",)})), list)
        seen = [must(must(each, Written).seen, Observation).contact.fields for each in (made, changed)]
        assert (seen[0]["PrimaryEmailAddr"], seen[1]["Notes"]) == (("ada@x.example",), ("VIP",))
        assert paths(books.box) == ["batch"]
        assert books.hand.get(bob.contact_id)["SyncToken"] == "1"
        assert len(books.hand.everybody()) == 2


async def test_each_item_has_an_answer_of_its_own() -> None:
    async with Books() as books:
        bob = await books.look(books.hand.create("Bob Ray", "bob@x.example"))
        cyd = await books.look(books.hand.create("Cyd Ash", "cyd@x.example"))
        books.hand.update(bob.contact_id, Notes="A person was faster")
        books.hand.employ("Ada King")
        stale = update(bob, {"Notes": ("VIP",)})
        fine = update(cyd, {"Notes": ("VIP",)})
        long = create({**BOB, "PrimaryPhone": ("1" * 40,)}, link(3))
        answers = await send(books, stale, create(), fine, long)
        assert kinds(answers) == ["5010", "alone", Written, "alone"]
        assert [verdict_on(answers[at], books.app.manifest) for at in (0, 1, 3)] == [
            Verdict.STALE,
            Verdict.RETRY,
            Verdict.RETRY,
        ]
        assert books.hand.get(bob.contact_id)["Notes"] == "A person was faster"
        assert books.hand.get(cyd.contact_id)["Notes"] == "VIP"
        # By themselves, both say what can be done.
        assert books.hand.get(must(await books.write(create(), n=1), Written).contact_id)["DisplayName"] == (
            "Ada King (ada@x.example)"
        )
        assert must(await books.write(long, n=1), Refused).fields == ("PrimaryPhone",)


async def test_two_of_one_name_in_a_request_are_told_apart() -> None:
    async with Books() as books:
        twin = {**ADA, "PrimaryEmailAddr": ("other@x.example",)}
        first, second = await send(books, create(), create(twin, link(2)))
        assert kinds([first, second]) == [Written, "alone"]
        made = must(await books.write(create(twin, link(2)), n=1), Written)
        assert books.hand.get(made.contact_id)["DisplayName"] == "Ada King (other@x.example)"


async def test_what_has_to_be_read_before_isnt_in_the_request() -> None:
    async with Books() as books:
        bob = await books.look(books.hand.create("Bob Ray", "bob@x.example"))
        renamed = update(bob, {"name": (PersonName(given="Rob", family="Ray", full="Rob Ray"),)})
        assert kinds(await send(books, renamed, create())) == ["alone", Written]
        assert kinds(await send(books, create(CYD, link(2)), create(BOB, link(3)), n=1)) == ["alone", "alone"]
        assert paths(books.box) == ["batch"]
        told = await books.app.write_all(books.access(), [(tag(bob.contact_id), Attempt(key="k", n=0))])
        assert kinds(must(told, list)) == ["alone"]


async def test_p4_a_lost_answer_leaves_each_in_doubt_and_each_is_settled_by_itself() -> None:
    async with Books() as books:
        bob = await books.look(books.hand.create("Bob Ray", "bob@x.example"))
        noted = update(bob, {"Notes": ("VIP",)})
        books.box.faults.drop("POST", "*/batch")
        sent = books.micros()
        assert must(await send(books, create(), noted), Trouble).key == "unanswered"
        assert must(await books.settle(create(), sent), Written).looked
        assert must(await books.settle(noted, sent), Written).looked
        # The same request again is answered as the first time: nothing is written twice.
        assert kinds(await send(books, create(), noted)) == [Written, Written]
        assert len(books.hand.everybody()) == 2
        books.box.faults.drop("POST", "*/batch", executed=False)
        sent = books.micros()
        assert must(await send(books, create(CYD, link(2)), create(BOB, link(3))), Trouble).key == "unanswered"
        books.clock.advance(151)
        assert isinstance(await books.settle(create(CYD, link(2)), sent), Absence)


async def test_an_item_without_an_answer_or_with_an_unknown_fault_is_in_doubt() -> None:
    async with Books() as books:
        fault = {"Error": [{"Message": "x", "code": "10000"}], "type": "SystemFault"}
        body = {"BatchItemResponse": [{"bId": "1", "Fault": fault}, {"bId": "7", "Customer": {}}]}
        books.box.faults.add(Fail(200, json.dumps(body).encode()), "POST", "*/batch")
        first, second = await send(books, create(), create(BOB, link(2)))
        assert [verdict_on(each, books.app.manifest) for each in (first, second)] == [Verdict.UNKNOWN, Verdict.UNKNOWN]


@pytest.mark.parametrize(
    ("status", "code", "verdict"),
    [(429, "3001", Verdict.THROTTLED), (401, "3200", Verdict.REAUTHORISE), (500, "", Verdict.UNKNOWN)],
)
async def test_a_request_that_fails_as_a_whole_is_one_trouble(status: int, code: str, verdict: Verdict) -> None:
    async with Books() as books:
        books.box.faults.fail(status, code, "POST", "*/batch", times=None)
        answer = must(await send(books, create(), create(BOB, link(2))), Trouble)
        assert verdict_on(answer, books.app.manifest) is verdict
        assert books.hand.everybody() == []


async def test_a_request_that_is_refused_as_a_whole_says_nothing_of_its_items() -> None:
    async with Books() as books:
        books.box.faults.fail(400, "2010", "POST", "*/batch")
        assert kinds(await send(books, create(), create(BOB, link(2)))) == ["alone", "alone"]


async def test_the_sandbox_takes_thirty_items_and_forty_requests_a_minute() -> None:
    async with Books() as books:
        many = [create({**BOB, "PrimaryEmailAddr": (f"{n}@x.example",)}, link(n)) for n in range(31)]
        assert set(kinds(await send(books, *many))) == {"alone"}
        assert books.hand.everybody() == []
        assert kinds(await send(books, *many[:30])) == [Written, *["alone"] * 29]
        books.box.quota.batches = 3
        assert must(await send(books, create(), create(CYD, link(40))), list)
        answer = must(await send(books, create(), create(CYD, link(41))), Trouble)
        assert (answer.key, answer.retry_after) == ("3001", 60.0)
        books.clock.advance(61)
        assert must(await send(books, create(ADA, link(50)), create(CYD, link(51))), list)


def test_the_runners_pace_keeps_to_the_limit_of_the_batch_endpoint() -> None:
    manifest = QuickBooks().manifest
    assert 1 < manifest.batch <= 30
    assert 0 < manifest.pace.batch <= 40 / 60
