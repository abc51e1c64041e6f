"""Access tokens: renewed once for all who wait; a replaced refresh token is kept before it is needed."""

import asyncio

import pytest

from services.connectors.quickbooks.sandbox import Fail
from services.connectors.verdicts import verdict_on
from services.contracts.app import Gone, Seen, Trouble, Verdict
from services.contracts.receipts import Written
from services.runtime.app import Access, Attempt
from tests.connectors.quickbooks_rig import Books, create, must

NOBODY = "99999"


async def looked(books: Books, access: Access | None = None) -> object:
    return await books.app.look(access or books.access(), NOBODY)


async def test_a_token_is_asked_for_once_and_again_shortly_before_its_end() -> None:
    async with Books() as books:
        for seconds, refreshes in ((0, 1), (3500, 1), (60, 2), (1, 2)):
            books.clock.advance(seconds)
            must(await looked(books), Gone)
            assert books.box.oauth.refreshes == refreshes


async def test_f9_five_hundred_requests_at_once_ask_for_one_token() -> None:
    async with Books() as books:
        books.box.quota.minute = books.box.quota.at_once = None
        gate = books.box.faults.hold("POST", "/token")
        tasks = [asyncio.create_task(looked(books)) for _ in range(500)]
        while not books.box.requests.to("POST", "/token"):  # noqa: ASYNC110 - it arrives in another task
            await asyncio.sleep(0)
        gate.set()
        assert all(isinstance(each, Gone) for each in await asyncio.gather(*tasks))
        assert books.box.oauth.refreshes == 1


async def test_f9_five_hundred_401s_cost_one_token() -> None:
    async with Books() as books:
        books.box.quota.minute = books.box.quota.at_once = None
        must(await looked(books), Gone)
        books.box.oauth.expire_access()
        answers = await asyncio.gather(*(looked(books) for _ in range(500)))
        assert all(isinstance(each, Gone) for each in answers)
        assert books.box.oauth.refreshes == 2


async def test_who_gives_up_waiting_stops_nobodys_renewal() -> None:
    async with Books() as books:
        gate = books.box.faults.hold("POST", "/token")
        first, second = asyncio.create_task(looked(books)), asyncio.create_task(looked(books))
        while not books.box.requests.to("POST", "/token"):  # noqa: ASYNC110 - it arrives in another task
            await asyncio.sleep(0)
        first.cancel()
        gate.set()
        must(await second, Gone)
        assert first.cancelled()
        assert books.box.oauth.refreshes == 1


async def test_a_replaced_refresh_token_is_used_from_then_on() -> None:
    async with Books() as books:
        for _ in range(5):
            must(await looked(books), Gone)
            books.clock.advance(86_400)
        sent = [each.body for each in books.box.requests.to("POST", "/token")]
        assert len(set(sent)) == 4  # the first one is a day old only at its second use
        assert all(each.status == 200 for each in books.box.requests.to("POST", "/token"))


async def test_a_401_has_a_write_sent_again_once_and_made_once() -> None:
    async with Books() as books:
        must(await looked(books), Gone)
        books.box.oauth.expire_access()
        must(await books.write(create()), Written)
        assert len(books.hand.everybody()) == 1


async def test_a_401_that_stays_asks_for_a_person() -> None:
    async with Books() as books:
        books.box.faults.fail(401, "3200", "GET", times=None)
        answer = must(await looked(books), Trouble)
        assert verdict_on(answer, books.app.manifest) is Verdict.REAUTHORISE
        assert len(books.box.requests.to("GET")) == 2


async def test_a_disconnected_app_asks_for_a_person_in_a_clean_sentence() -> None:
    async with Books() as books:
        must(await looked(books), Gone)
        books.box.oauth.revoke(books.box.realm)
        answer = must(await looked(books), Trouble)
        assert answer.key == "invalid_grant"
        assert verdict_on(answer, books.app.manifest) is Verdict.REAUTHORISE
        assert "Authorise the account again" in answer.detail


async def test_a_new_refresh_token_works_at_once() -> None:
    async with Books() as books:
        books.box.oauth.revoke(books.box.realm)
        must(await looked(books), Trouble)
        must(await looked(books, books.access(refresh_token=books.box.oauth.grant(books.box.realm))), Gone)


async def test_companies_have_tokens_of_their_own() -> None:
    async with Books() as books:
        other = books.box.company("42")
        made = other.hand.create("Bea")
        must(await looked(books), Gone)
        theirs = books.access(account="other", realm="42", refresh_token=other.refresh_token)
        must(await books.app.look(theirs, made), Seen)
        must(await books.app.look(books.access(), made), Gone)


@pytest.mark.parametrize(
    ("status", "body", "key", "verdict"),
    [
        (401, b'{"error":"invalid_client"}', "invalid_client", Verdict.REAUTHORISE),
        (400, b'{"error":"unauthorized_client"}', "invalid_client", Verdict.REAUTHORISE),
        (401, b"", 401, Verdict.REAUTHORISE),
        (429, b"", 429, Verdict.THROTTLED),
        (500, b"<html>", "token_unavailable", Verdict.RETRY),
        (404, b"<html>", "token_unavailable", Verdict.RETRY),
        (200, b"<html>", "token_unavailable", Verdict.RETRY),
        (200, b'{"access_token":"a b","refresh_token":"r"}', "token_unavailable", Verdict.RETRY),
        (200, b'{"access_token":"a","refresh_token":"r r"}', "token_unavailable", Verdict.RETRY),
        (200, b'{"access_token":"a","expires_in":0}', "token_unavailable", Verdict.RETRY),
    ],
)
async def test_p4_without_a_token_nothing_was_sent(status: int, body: bytes, key: int | str, verdict: Verdict) -> None:
    async with Books() as books:
        books.box.faults.add(Fail(status, body, headers={"Retry-After": "7"}), "POST", "/token")
        answer = must(await books.write(create()), Trouble)
        assert (answer.key, verdict_on(answer, books.app.manifest)) == (key, verdict)
        assert answer.retry_after in {None, 7}
        must(await books.write(create()), Written)
        assert len(books.hand.everybody()) == 1


async def test_p4_a_lost_answer_of_the_token_endpoint_is_no_unknown_write() -> None:
    async with Books() as books:
        books.box.faults.drop("POST", "/token")
        answer = must(await books.write(create()), Trouble)
        assert verdict_on(answer, books.app.manifest) is Verdict.RETRY


@pytest.mark.parametrize("token", ["", "two words", "new\nline"])
async def test_credentials_that_cant_be_sent_arent(token: str) -> None:
    async with Books() as books:
        access = books.access()
        bare = Access(
            account="books",
            settings=access.settings,
            credentials={**access.credentials, "refresh_token": (token,)},
            http=books.http,
            clock=books.clock,
        )
        assert must(await looked(books, bare), Trouble).key == "no_credentials"
        assert len(books.box.requests) == 0


async def test_no_secret_stands_in_an_errors_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    async with Books() as books:
        books.box.oauth.revoke(books.box.realm)
        refused = await books.app.write(books.access(), create(), Attempt(key="k", n=0))
        await books.app.write(books.access(refresh_token="RT1-canary"), create(), Attempt(key="k", n=0))
        await books.app.write(books.access(secret="canary-secret"), create(), Attempt(key="k", n=0))
        words = caplog.text + repr(refused)
        for secret in (books.box.refresh_token, books.box.oauth.client_secret, "canary", "eyJ-"):
            assert secret not in words
