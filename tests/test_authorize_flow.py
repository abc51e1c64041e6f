"""The parts of a login by OAuth 2: the answer that is waited for, what is asked, and what a token endpoint may say."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import random
import socket
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from services.connectors.quickbooks.sandbox import QuickBooksSandbox, serve
from services.runtime.authorize import exchange
from services.runtime.authorize.proof import Code, Denied, Foreign, answer, login_url, pasted, proof
from services.runtime.authorize.redirect import PortError, landing
from services.runtime.authorize.way import OAuth2

WAY = OAuth2(
    authorize_url="https://login.example/auth",
    token_url="https://token.example/token",
    beside="/auth",
    scopes=("contacts", "names"),
    parameters={"access_type": "offline"},
)
MADE = proof(bytes(range(32)), bytes(range(32, 64)))
CLIENT = exchange.Client("client", "canary-secret")


def test_the_challenge_is_that_of_the_rfcs_example() -> None:
    # https://www.rfc-editor.org/rfc/rfc7636#appendix-B
    octets = [116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186]
    octets += [22, 212, 37, 77, 105, 214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121]
    made = proof(bytes(octets), b"s" * 32)
    assert made.verifier == "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert made.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_what_is_asked_at_the_login() -> None:
    asked = urlsplit(login_url(WAY, {}, "client", "http://127.0.0.1:1/", MADE))
    assert f"{asked.scheme}://{asked.netloc}{asked.path}" == "https://login.example/auth"
    digest = base64.urlsafe_b64encode(hashlib.sha256(MADE.verifier.encode()).digest()).decode().rstrip("=")
    assert {key: value[0] for key, value in parse_qs(asked.query).items()} == {
        "response_type": "code",
        "client_id": "client",
        "redirect_uri": "http://127.0.0.1:1/",
        "scope": "contacts names",
        "state": MADE.state,
        "code_challenge": digest,
        "code_challenge_method": "S256",
        "access_type": "offline",
    }
    own = login_url(WAY, {"token_url": "http://127.0.0.1:9/token"}, "client", "http://127.0.0.1:1/", MADE)
    assert own.startswith("http://127.0.0.1:9/auth?")


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        (f"state={MADE.state}&code=abc", Code),
        (f"state={MADE.state}&error=access_denied", Denied),
        (f"state={MADE.state}&error=server_error&code=abc", Denied),
        (f"state={MADE.state}", Foreign),
        (f"state={MADE.state}&code=", Foreign),
        (f"state={MADE.state}&code=abc&code=def", Foreign),
        (f"state={MADE.state}&state=x&code=abc", Foreign),
        ("state=x&code=abc", Foreign),
        ("state=%C3%A9&code=abc", Foreign),
        ("code=abc", Foreign),
        ("error=access_denied", Foreign),
        ("", Foreign),
    ],
)
def test_only_the_answer_to_this_login_counts(query: str, kind: type[object]) -> None:
    assert isinstance(answer(query, MADE), kind)
    assert isinstance(pasted(f" http://127.0.0.1:1/?{query}\n", MADE), kind)


def test_an_errors_text_is_not_repeated_and_nothing_prints_a_secret() -> None:
    found = answer(f"state={MADE.state}&error=%1b[31mcanary%20canary", MADE)
    assert found == Denied("the login ended with the error `of an unknown kind`")
    secrets = [MADE, Code("canary"), CLIENT, exchange.Tokens(access_token="canary", refresh_token="canary")]
    assert "canary" not in repr(secrets)
    assert MADE.verifier not in repr(secrets)
    assert isinstance(pasted("http://[", MADE), Foreign)


async def test_the_page_waits_for_the_right_answer_and_ignores_others() -> None:
    ignored: list[Foreign] = []
    async with landing(MADE, ignored.append) as page, httpx2.AsyncClient(trust_env=False) as browser:
        assert page.address.startswith("http://127.0.0.1:")
        foreign = await browser.get(f"{page.address}?state=x&code=abc")
        assert foreign.status_code == 400
        assert (await browser.get(f"{page.address}favicon.ico")).status_code == 404
        with pytest.raises(TimeoutError):
            await page.answer(0.01)
        first = await browser.get(f"{page.address}?state={MADE.state}&code=abc")
        assert (first.status_code, first.headers["referrer-policy"]) == (200, "no-referrer")
        again = await browser.get(f"{page.address}?state={MADE.state}&code=def")
        assert again.status_code == 200
        assert await page.answer(1) == Code("abc")
    assert len(ignored) == 1


async def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortError, match="can't be used"):
        async with landing(MADE, lambda _: None, taken.getsockname()[1]):
            pass


@contextlib.asynccontextmanager
async def endpoint(raw: bytes) -> AsyncIterator[str]:
    """A token endpoint that answers those bytes."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(raw)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"


def http(status: int, body: str) -> bytes:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close"
    return f"{head}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "gave no answer"),
        (http(200, "<html>canary</html>"), "answered something else"),
        (http(200, '{"access_token": ""}'), "gave no usable token"),
        (http(200, '{"access_token": "a", "refresh_token": "b c"}'), "gave no usable token"),
        (http(400, '{"error": "invalid_grant", "error_description": "canary"}'), "was used already"),
        (http(401, '{"error": "invalid_client"}'), "correct client_id and client_secret"),
        (http(400, '{"error": "canary canary"}'), "answered 400."),
        (http(503, "canary"), "answered 503."),
        (http(302, ""), "answered 302."),
    ],
)
async def test_whatever_a_token_endpoint_answers_is_a_sentence(raw: bytes, said: str) -> None:
    async with endpoint(raw) as url, httpx2.AsyncClient(trust_env=False) as web:
        found = await exchange.redeem(
            web, WAY, {"token_url": url}, CLIENT, code="c", redirect="http://127.0.0.1:1/", made=MADE
        )
    assert isinstance(found, exchange.Failed)
    assert said in found.reason
    assert "canary" not in found.reason


def test_scopes_that_were_not_granted_are_named() -> None:
    assert exchange.Tokens(access_token="a").lacking(WAY) == ()
    assert exchange.Tokens(access_token="a", scope="names contacts more").lacking(WAY) == ()
    assert exchange.Tokens(access_token="a", scope="names").lacking(WAY) == ("contacts",)


async def test_a_client_may_show_who_it_is_in_a_header() -> None:
    box = QuickBooksSandbox(rng=random.Random(5))
    way = OAuth2(authorize_url="https://x/", token_url="https://x/", beside="/", scopes=("s",), basic=True)
    client = exchange.Client(box.oauth.client_id, box.oauth.client_secret)
    async with serve(box) as url, httpx2.AsyncClient(trust_env=False) as web:
        found = await exchange.refresh(web, way, {"token_url": f"{url}/token"}, client, box.oauth.grant(box.realm))
    assert isinstance(found, exchange.Tokens)
    assert found.refresh_token
