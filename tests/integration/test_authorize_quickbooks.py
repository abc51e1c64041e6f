"""`authorize` for QuickBooks: the whole login over real HTTP, with the sandbox in Intuit's place."""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from services.connectors.quickbooks.authorize import WAY
from services.connectors.quickbooks.online import QuickBooks
from services.connectors.quickbooks.sandbox import QuickBooksSandbox
from services.connectors.served import serve
from services.contracts.app import Page
from services.runtime.app import Access
from services.runtime.authorize import exchange
from services.runtime.authorize.proof import Code, answer, login_url, proof
from services.runtime.clock import SystemClock
from services.runtime.registry import read
from services.runtime.secrets import vault
from services.runtime.store import Store
from services.runtime.store.embedded import EmbeddedPostgres
from tests.integration.shell_rig import BROWSER, Done, Shell

ELSEWHERE = "https://example.com/back"
FILE = """\
accounts:
  shop: {{app: stripe, api_key: rk_test_1234567890, webhook_secrets: [whsec_1234567890]}}
  books: {{app: quickbooks, realm_id: "{realm}", api_base: "{url}", token_url: "{url}/token"}}
connections:
  shop-books: {{left: shop, right: books}}
"""


class Intuit:
    def __init__(self, box: QuickBooksSandbox, url: str) -> None:
        self.box = box
        self.url = url

    def authorize(self, *more: str) -> list[str]:
        where = ["--set", f"api_base={self.url}", "--set", f"token_url={self.url}/token"]
        return ["authorize", "books", "--app", "quickbooks", *where, *more]


@pytest.fixture
async def intuit() -> AsyncIterator[Intuit]:
    box = QuickBooksSandbox(rng=random.Random(5))
    async with serve(box) as url:
        yield Intuit(box, url)


@pytest.fixture
def shell(open_folder: Path, intuit: Intuit) -> Iterator[Shell]:
    folder = Path(tempfile.mkdtemp(dir=open_folder))
    folder.chmod(0o755)
    oauth = intuit.box.oauth
    environ = {"BOOKS_CLIENT_ID": oauth.client_id, "BOOKS_CLIENT_SECRET": oauth.client_secret, "BROWSER": BROWSER}
    yield Shell(folder, environ, [oauth.client_secret, "RT1-", "eyJ-"])
    shutil.rmtree(folder)


async def stored(shell: Shell) -> dict[str, tuple[str, ...]]:
    data = shell.folder / "data"
    async with (
        EmbeddedPostgres(data) as server,
        Store.open(server.dsn) as store,
        store.transaction(readonly=True) as database,
    ):
        return await read.credentials(database, vault(None, data, bundled_store=True), "books", removed=True)


async def works(intuit: Intuit, credentials: dict[str, tuple[str, ...]]) -> None:
    """The stored login opens the company, also when its access tokens are over."""
    intuit.box.hand.create(f"Customer {len(intuit.box.hand.everybody())}")
    settings = {"realm_id": intuit.box.realm, "api_base": intuit.url, "token_url": f"{intuit.url}/token"}
    app = QuickBooks()
    async with httpx2.AsyncClient(trust_env=False) as web:
        access = Access(account="books", settings=settings, credentials=credentials, http=web, clock=SystemClock())
        for _ in range(2):
            page = await app.scan(access, None)
            assert isinstance(page, Page)
            assert len(page.readings) == len(intuit.box.hand.everybody())
            intuit.box.oauth.expire_access()


async def pasted(shell: Shell, *arguments: str, realm: str = "") -> Done:
    """Log in at the address that the command shows, and paste the one that the browser was led to.

    `realm`: another company in it than the one that was chosen.
    """
    process = await shell.start(*arguments)
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while not (line := await process.stdout.readline()).strip().startswith(b"http"):
            assert line
    async with httpx2.AsyncClient(trust_env=False) as browser:
        led = await browser.get(line.decode().strip())
    assert led.status_code == 302, led.text
    back = led.headers["location"]
    back = re.sub("realmId=[0-9]+", f"realmId={realm}", back) if realm else back
    return await shell.end(process, f"{back}\n")


async def test_g8_the_company_chosen_at_the_login_becomes_the_accounts(shell: Shell, intuit: Intuit) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    here = f"http://localhost:{port}/back"
    intuit.box.oauth.redirects.add(here)
    out = await shell.answer(*intuit.authorize("--redirect", here))
    assert f"company {intuit.box.realm}" in out
    assert "✓ Customers" in out
    assert "Stored, encrypted: refresh_token of books." in out
    assert f"realm_id: {intuit.box.realm}" in out  # the line for the file


async def test_g8_a_production_app_leads_elsewhere_and_the_address_is_pasted(shell: Shell, intuit: Intuit) -> None:
    done = await pasted(shell, *intuit.authorize("--redirect", ELSEWHERE))
    assert done.status == 0, done.err
    assert "Stored, encrypted: refresh_token of books." in done.out
    opened = await stored(shell)
    await works(intuit, opened)
    # Intuit replaces a refresh token when it is old, here whenever one is used: the newest one is stored, and works.
    intuit.box.oauth.rotated_after = 0
    again = await pasted(shell, "authorize", "books", "--redirect", ELSEWHERE)
    assert again.status == 0, again.err
    newest = await stored(shell)
    assert newest["refresh_token"] != opened["refresh_token"]
    await works(intuit, newest)


async def test_g8_a_login_for_another_company_than_the_accounts_is_refused(shell: Shell, intuit: Intuit) -> None:
    done = await pasted(shell, *intuit.authorize("--redirect", ELSEWHERE))
    assert done.status == 0, done.err
    before = await stored(shell)
    intuit.box.company("77")
    intuit.box.oauth.chosen = "77"
    told = f"Nothing was stored: the login was for realm_id 77, and books is {intuit.box.realm}."
    for file in ("", FILE):
        if file:
            (shell.folder / "contacts.yaml").write_text(file.format(url=intuit.url, realm=intuit.box.realm))
            assert "account books: new" in await shell.answer("apply", "contacts.yaml")
        done = await pasted(shell, "authorize", "books", "--redirect", ELSEWHERE)
        assert done.status == 1
        assert told in done.err
        assert await stored(shell) == before


async def test_g8_a_company_in_the_answer_that_the_login_doesnt_open_is_refused(shell: Shell, intuit: Intuit) -> None:
    done = await pasted(shell, *intuit.authorize("--redirect", ELSEWHERE), realm="77")
    assert done.status == 1
    assert "✗ Customers" in done.out
    assert done.err.endswith("Nothing was stored.\n")


async def test_g8_a_login_without_a_registered_redirect_isnt_begun(shell: Shell, intuit: Intuit) -> None:
    done = await shell.run(*intuit.authorize())
    assert done.status == 2
    assert "--redirect http://localhost:8400/back" in done.err
    assert not list(intuit.box.requests)


async def test_g8_a_code_is_for_one_use_for_its_redirect_and_for_its_time() -> None:
    now = time.time()
    box = QuickBooksSandbox(clock=lambda: now, rng=random.Random(5))
    client = exchange.Client(box.oauth.client_id, box.oauth.client_secret)
    made = proof(b"v" * 32, b"s" * 32)
    async with serve(box) as url, httpx2.AsyncClient(trust_env=False) as web:
        settings = {"token_url": f"{url}/token"}

        async def code() -> str:
            led = await web.get(login_url(WAY, settings, client.id, ELSEWHERE, made))
            found = answer(urlsplit(led.headers["location"]).query, made)
            assert isinstance(found, Code)
            assert dict(found.told) == {"realmId": box.realm}
            return found.value

        async def redeem(value: str, back: str = ELSEWHERE) -> exchange.Tokens | exchange.Failed:
            return await exchange.redeem(web, WAY, settings, client, code=value, redirect=back, made=made)

        first = await code()
        assert isinstance(await redeem(first, "http://localhost:8400/back"), exchange.Failed)
        assert isinstance(await redeem(first), exchange.Tokens)
        again = await redeem(first)
        assert isinstance(again, exchange.Failed)
        assert "was used already" in again.reason
        late = await code()
        now += 3600
        assert isinstance(await redeem(late), exchange.Failed)
        stranger = exchange.Client(client.id, "another")
        denied = await exchange.redeem(web, WAY, settings, stranger, code=await code(), redirect=ELSEWHERE, made=made)
        assert isinstance(denied, exchange.Failed)
        assert "correct client_id and client_secret" in denied.reason


async def test_g8_a_denied_login_and_a_redirect_that_the_app_doesnt_have_store_nothing(
    shell: Shell, intuit: Intuit
) -> None:
    intuit.box.oauth.allows = False
    done = await pasted(shell, *intuit.authorize("--redirect", ELSEWHERE))
    assert done.status == 1
    assert "access was denied" in done.err
    async with httpx2.AsyncClient(trust_env=False) as browser:
        query = {"client_id": intuit.box.oauth.client_id, "redirect_uri": "https://elsewhere.example/"}
        assert (await browser.get(f"{intuit.url}/connect/oauth2", params=query)).status_code == 400


async def test_g8_an_answer_to_another_login_is_refused(shell: Shell, intuit: Intuit) -> None:
    arguments = intuit.authorize("--redirect", ELSEWHERE)
    done = await shell.run(*arguments, stdin=f"{ELSEWHERE}?state=another&code=XAB1&realmId={intuit.box.realm}\n")
    assert done.status == 1
    assert "its state is that of another login" in done.err
    assert not any(request.path == "/token" for request in intuit.box.requests)
