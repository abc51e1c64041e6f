"""`authorize` for QuickBooks: the whole login over real HTTP, with the sandbox in Intuit's place."""

from __future__ import annotations

import asyncio
import random
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from services.connectors.quickbooks.sandbox import QuickBooksSandbox
from services.connectors.served import serve
from tests.integration.shell_rig import BROWSER, Done, Shell

ELSEWHERE = "https://example.com/back"


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


async def pasted(shell: Shell, *arguments: str) -> Done:
    """Log in at the address that the command shows, and paste the one that the browser was led to."""
    process = await shell.start(*arguments)
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while not (line := await process.stdout.readline()).strip().startswith(b"http"):
            assert line
    async with httpx2.AsyncClient(trust_env=False) as browser:
        led = await browser.get(line.decode().strip())
    assert led.status_code == 302, led.text
    return await shell.end(process, led.headers["location"] + "\n")


async def test_g8_the_company_chosen_at_the_login_becomes_the_accounts(shell: Shell, intuit: Intuit) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    here = f"http://localhost:{port}/back"
    intuit.box.oauth.redirects.add(here)
    out = await shell.answer(*intuit.authorize("--port", str(port), "--redirect", here))
    assert f"company {intuit.box.realm}" in out
    assert "✓ Customers" in out
    assert "Stored, encrypted: refresh_token of books." in out
    assert f"realm_id: {intuit.box.realm}" in out  # the line for the file


async def test_g8_a_production_app_leads_elsewhere_and_the_address_is_pasted(shell: Shell, intuit: Intuit) -> None:
    done = await pasted(shell, *intuit.authorize("--redirect", ELSEWHERE))
    assert done.status == 0, done.err
    assert "Stored, encrypted: refresh_token of books." in done.out
    # Intuit replaces a refresh token when it is old: the newest one is stored, and opens the company again.
    intuit.box.oauth.rotated_after = 0
    again = await pasted(shell, "authorize", "books", "--redirect", ELSEWHERE)
    assert again.status == 0, again.err


async def test_g8_a_login_for_another_company_is_refused(shell: Shell, intuit: Intuit) -> None:
    intuit.box.oauth.chosen = "77"
    asked = [*intuit.authorize("--redirect", ELSEWHERE), "--set", f"realm_id={intuit.box.realm}"]
    done = await pasted(shell, *asked)
    assert done.status == 1
    assert "the login was for realm_id 77" in done.err
    assert "Nothing was stored" in done.err


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
