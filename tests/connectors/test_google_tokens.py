"""Access tokens: one flight at a time, kept until shortly before their end, never told."""

import asyncio

import pytest

from services.connectors.google_contacts.sandbox import Fail
from services.connectors.verdicts import verdict_on
from services.contracts.app import Gone, Seen, Trouble, Verdict
from services.contracts.receipts import Written
from services.runtime.app import Access, Attempt
from tests.connectors.google_rig import Office, create, must

NOBODY = "people/c1"


async def looked(office: Office, access: Access | None = None) -> object:
    return await office.app.look(access or office.access(), NOBODY)


async def test_a_token_is_asked_for_once_and_again_shortly_before_its_end() -> None:
    async with Office() as office:
        for seconds, refreshes in ((0, 1), (3500, 1), (60, 2), (1, 2)):
            office.clock.advance(seconds)
            must(await looked(office), Gone)
            assert office.box.oauth.refreshes == refreshes


async def test_f9_five_hundred_requests_at_once_ask_for_one_token() -> None:
    async with Office() as office:
        gate = office.box.faults.hold("POST", "/token")
        tasks = [asyncio.create_task(looked(office)) for _ in range(500)]
        while not office.box.requests.to("POST", "/token"):  # noqa: ASYNC110 - it arrives in another task
            await asyncio.sleep(0)
        gate.set()
        assert all(isinstance(each, Gone) for each in await asyncio.gather(*tasks))
        assert office.box.oauth.refreshes == 1


async def test_f9_five_hundred_401s_cost_one_token() -> None:
    async with Office() as office:
        must(await looked(office), Gone)
        office.box.oauth.expire_access()
        answers = await asyncio.gather(*(looked(office) for _ in range(500)))
        assert all(isinstance(each, Gone) for each in answers)
        assert office.box.oauth.refreshes == 2


async def test_a_401_has_a_write_sent_again_once_and_made_once() -> None:
    async with Office() as office:
        must(await looked(office), Gone)
        office.box.oauth.expire_access()
        must(await office.write(create()), Written)
        assert len(office.box.hand.everybody()) == 1


async def test_a_401_that_stays_asks_for_a_person() -> None:
    async with Office() as office:
        office.box.faults.fail(401, "GET", rpc="UNAUTHENTICATED", times=None)
        answer = must(await looked(office), Trouble)
        assert verdict_on(answer, office.app.manifest) is Verdict.REAUTHORISE
        assert len(office.box.requests.to("GET", "/v1/*")) == 2


async def test_a_revoked_grant_asks_for_a_person() -> None:
    async with Office() as office:
        must(await looked(office), Gone)
        office.box.oauth.revoke(office.box.refresh_token)
        answer = must(await looked(office), Trouble)
        assert answer.key == "invalid_grant"
        assert verdict_on(answer, office.app.manifest) is Verdict.REAUTHORISE


async def test_a_token_that_google_refused_isnt_sent_again() -> None:
    async with Office() as office:
        must(await looked(office), Gone)
        office.box.oauth.revoke(office.box.refresh_token)
        for _ in range(3):
            must(await looked(office), Trouble)
        assert [each.status for each in office.box.requests.to("GET", "/v1/people/*")] == [404, 401]


async def test_a_new_refresh_token_works_at_once() -> None:
    async with Office() as office:
        office.box.oauth.revoke(office.box.refresh_token)
        must(await looked(office), Trouble)
        must(await looked(office, office.access(refresh_token=office.box.oauth.grant("first"))), Gone)


async def test_accounts_have_tokens_of_their_own() -> None:
    async with Office() as office:
        other = office.box.account("other")
        made = other.hand.create("bea@x.example")
        must(await looked(office), Gone)
        theirs = office.access(account="other", refresh_token=other.refresh_token)
        must(await office.app.look(theirs, made), Seen)
        must(await office.app.look(office.access(), made), Gone)


@pytest.mark.parametrize(
    ("status", "body", "key", "verdict"),
    [
        (401, b'{"error":"invalid_client"}', "invalid_client", Verdict.REAUTHORISE),
        (401, b"", 401, Verdict.REAUTHORISE),
        (400, b'{"error":"unauthorized_client"}', "invalid_client", Verdict.REAUTHORISE),
        (429, b"", 429, Verdict.THROTTLED),
        (500, b"<html>", "token_unavailable", Verdict.RETRY),
        (404, b"<html>", "token_unavailable", Verdict.RETRY),
        (200, b"<html>", "token_unavailable", Verdict.RETRY),
        (200, b'{"access_token":"a b"}', "token_unavailable", Verdict.RETRY),
        (200, b'{"access_token":"a","expires_in":0}', "token_unavailable", Verdict.RETRY),
    ],
)
async def test_p4_without_a_token_nothing_was_sent(status: int, body: bytes, key: int | str, verdict: Verdict) -> None:
    async with Office() as office:
        office.box.faults.add(Fail(status, body, headers={"Retry-After": "7"}), "POST", "/token")
        answer = must(await office.write(create()), Trouble)
        assert (answer.key, verdict_on(answer, office.app.manifest)) == (key, verdict)
        assert answer.retry_after in {None, 7}
        must(await office.write(create()), Written)
        assert len(office.box.hand.everybody()) == 1


async def test_p4_a_lost_answer_of_the_token_endpoint_is_no_unknown_write() -> None:
    async with Office() as office:
        office.box.faults.drop("POST", "/token")
        answer = must(await office.write(create()), Trouble)
        assert verdict_on(answer, office.app.manifest) is Verdict.RETRY


@pytest.mark.parametrize("token", ["", "two words", "new\nline"])
async def test_credentials_that_cant_be_sent_arent(token: str) -> None:
    async with Office() as office:
        access = office.access()
        bare = Access(
            account="office",
            settings=access.settings,
            credentials={**access.credentials, "refresh_token": (token,)},
            http=office.http,
            clock=office.clock,
        )
        assert must(await looked(office, bare), Trouble).key == "no_credentials"
        assert len(office.box.requests) == 0


async def test_no_secret_stands_in_an_errors_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    async with Office() as office:
        office.box.oauth.revoke(office.box.refresh_token)
        refused = await office.app.write(office.access(), create(), Attempt(key="k", n=0))
        await office.app.write(office.access(refresh_token="1//canary"), create(), Attempt(key="k", n=0))
        words = caplog.text + repr(refused)
        for secret in (office.box.refresh_token, office.box.oauth.client_secret, "1//canary", "ya29."):
            assert secret not in words
