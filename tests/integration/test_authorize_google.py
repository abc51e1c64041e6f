"""`authorize` for Google: the whole login over real HTTP, with the sandbox in Google's place."""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from services.connectors.google_contacts.permissions import WAY
from services.connectors.google_contacts.sandbox import GoogleSandbox
from services.connectors.served import serve
from services.runtime.authorize import exchange
from services.runtime.authorize.proof import Code, answer, login_url, pasted, proof
from services.runtime.registry import read
from services.runtime.secrets import vault
from services.runtime.store import Store
from services.runtime.store.embedded import EmbeddedPostgres
from tests.integration.shell_rig import BROWSER, Shell

FILE = """\
accounts:
  shop: {app: stripe, api_key: rk_test_1234567890, webhook_secrets: [whsec_1234567890]}
  office: {app: google_contacts, api_base: "URL", token_url: "URL/token"REST}
connections:
  shop-office: {left: shop, right: office}
"""


class Google:
    def __init__(self, box: GoogleSandbox, url: str) -> None:
        self.box = box
        self.url = url

    def authorize(self, *more: str) -> list[str]:
        where = ["--set", f"api_base={self.url}", "--set", f"token_url={self.url}/token"]
        return ["authorize", "office", "--app", "google_contacts", *where, *more]


@pytest.fixture
async def google() -> AsyncIterator[Google]:
    box = GoogleSandbox(rng=random.Random(5))
    async with serve(box) as url:
        yield Google(box, url)


@pytest.fixture
def shell(open_folder: Path, google: Google) -> Iterator[Shell]:
    folder = Path(tempfile.mkdtemp(dir=open_folder))
    folder.chmod(0o755)
    oauth = google.box.oauth
    environ = {"OFFICE_CLIENT_ID": oauth.client_id, "OFFICE_CLIENT_SECRET": oauth.client_secret, "BROWSER": BROWSER}
    yield Shell(folder, environ, [oauth.client_secret, "1//sandbox", "ya29."])
    shutil.rmtree(folder)


async def stored(shell: Shell) -> dict[str, tuple[str, ...]]:
    data = shell.folder / "data"
    async with (
        EmbeddedPostgres(data) as server,
        Store.open(server.dsn) as store,
        store.transaction(readonly=True) as database,
    ):
        return await read.credentials(database, vault(None, data, bundled_store=True), "office")


async def test_g8_an_account_is_authorised_before_any_file_names_it_and_the_file_needs_no_token(
    shell: Shell, google: Google
) -> None:
    out = await shell.answer(*google.authorize())
    assert "✓ https://www.googleapis.com/auth/contacts" in out
    assert "Stored, encrypted: refresh_token of office." in out
    shown = re.search(r"(?m)^  office: (\{.*\})$", out)
    assert shown is not None
    assert "refresh_token" not in shown[1]
    assert "client_secret" not in shown[1]
    file = shell.folder / "contacts.yaml"
    file.write_text(FILE.replace("URL", google.url).replace("REST", ""))
    assert "can be applied" in await shell.answer("check", "contacts.yaml")
    applied = await shell.answer("apply", "contacts.yaml")
    assert "account office: new" in applied
    assert "credential office" not in applied
    kept = await stored(shell)
    # A new value in the file wins; the same one again doesn't win over a newer login.
    file.write_text(FILE.replace("URL", google.url).replace("REST", ", refresh_token: older"))
    assert "office.refresh_token: the stored one is kept" in await shell.answer("apply", "contacts.yaml")
    assert await stored(shell) == kept
    file.write_text(FILE.replace("URL", google.url).replace("REST", ", refresh_token: newer"))
    assert "office.refresh_token: replaced" in await shell.answer("apply", "contacts.yaml")
    assert "Stored, encrypted: refresh_token of office." in await shell.answer("authorize", "office")
    newest = await stored(shell)
    assert newest["refresh_token"] not in (kept["refresh_token"], ("newer",))
    assert "nothing changed" in await shell.answer("apply", "contacts.yaml")
    file.write_text(FILE.replace("URL", google.url).replace("REST", ""))
    assert "credential" not in await shell.answer("apply", "contacts.yaml")
    assert await stored(shell) == newest


async def test_g8_without_a_browser_the_address_that_it_was_led_to_is_pasted(shell: Shell, google: Google) -> None:
    process = await shell.start(*google.authorize("--no-browser"))
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while not (line := await process.stdout.readline()).strip().startswith(b"http"):
            assert line
    async with httpx2.AsyncClient(trust_env=False) as browser:
        led = await browser.get(line.decode().strip())
    assert led.status_code == 302
    done = await shell.end(process, led.headers["location"] + "\n")
    assert done.status == 0, done.err
    assert "Stored, encrypted: refresh_token of office." in done.out


@pytest.mark.parametrize(
    ("pasted_text", "said"),
    [
        ("http://127.0.0.1:1/?state=another&code=4/x", "its state is that of another login"),
        ("http://127.0.0.1:1/", "no address with an answer in it"),
        ("", "no address with an answer in it"),
    ],
)
async def test_g8_an_answer_to_another_login_is_refused(
    shell: Shell, google: Google, pasted_text: str, said: str
) -> None:
    done = await shell.run(*google.authorize("--no-browser"), stdin=f"{pasted_text}\n")
    assert done.status == 1
    assert said in done.err
    assert not any(request.path == "/token" for request in google.box.requests)


async def test_g8_a_denied_login_a_scope_left_out_and_no_refresh_token_store_nothing(
    shell: Shell, google: Google
) -> None:
    oauth = google.box.oauth
    oauth.allows = False
    denied = await shell.run(*google.authorize())
    assert (denied.status, denied.err.splitlines()[-1]) == (1, "Nothing was stored: access was denied at the login.")
    oauth.allows, oauth.ticked = True, ""
    scopeless = await shell.run(*google.authorize())
    assert scopeless.status == 1
    assert "the login lacks https://www.googleapis.com/auth/contacts" in scopeless.err
    oauth.ticked, oauth.client_secret = None, "another"
    refused = await shell.run(*google.authorize())
    assert refused.status == 1
    assert "correct client_id and client_secret" in refused.err
    assert await stored(shell) == {}


async def test_g8_a_login_without_people_api_stores_nothing(shell: Shell, google: Google) -> None:
    google.box.faults.fail(403, method="GET", path="/v1/people/me/connections")
    done = await shell.run(*google.authorize())
    assert done.status == 1
    assert "✗ People API" in done.out
    assert done.err.endswith("Nothing was stored.\n")


async def test_wrong_calls_are_told(shell: Shell) -> None:
    for arguments, status, said in [
        (["authorize", "office"], 2, "say which app it is, --app carddav or"),
        (["authorize", "office", "--app", "googel_contacts"], 2, "Did you mean google_contacts?"),
        (["authorize", "Office", "--app", "google_contacts"], 2, "can't be an account's name"),
        (["authorize", "office", "--app", "google_contacts", "--set", "nope=1"], 2, "has no setting nope"),
        (["authorize", "office", "--app", "google_contacts", "--set", "token_url=ftp://x"], 1, "token_url isn't what"),
    ]:
        done = await shell.run(*arguments)
        assert done.status == status, arguments
        assert said in done.err


async def test_the_sandboxs_codes_are_for_one_use_for_one_login_and_for_ten_minutes() -> None:
    now = time.time()
    box = GoogleSandbox(clock=lambda: now, rng=random.Random(5))
    client = exchange.Client(box.oauth.client_id, box.oauth.client_secret)
    made = proof(b"v" * 32, b"s" * 32)
    redirect = "http://127.0.0.1:4711/"
    async with serve(box) as url, httpx2.AsyncClient(trust_env=False) as web:
        settings = {"token_url": f"{url}/token"}

        async def code() -> str:
            led = await web.get(login_url(WAY, settings, client.id, redirect, made))
            found = pasted(led.headers["location"], made)
            assert isinstance(found, Code)
            return found.value

        async def redeem(value: str, back: str = redirect, verifier: bytes = b"v" * 32) -> object:
            return await exchange.redeem(
                web, WAY, settings, client, code=value, redirect=back, made=proof(verifier, b"s" * 32)
            )

        first = await code()
        stolen = await redeem(first, verifier=b"w" * 32)
        assert isinstance(stolen, exchange.Failed)
        assert isinstance(await redeem(first, back="http://127.0.0.1:4712/"), exchange.Failed)
        tokens = await redeem(first)
        assert isinstance(tokens, exchange.Tokens)
        assert isinstance(await exchange.refresh(web, WAY, settings, client, tokens.refresh_token), exchange.Tokens)
        again = await redeem(first)
        assert again == exchange.Failed(
            "The code of the login was used already, has expired, or belongs to another login. Log in again.",
            "invalid_grant",
        )
        withdrawn = await exchange.refresh(web, WAY, settings, client, tokens.refresh_token)
        assert isinstance(withdrawn, exchange.Failed)
        late = await code()
        now += 601
        assert isinstance(await redeem(late), exchange.Failed)
        quiet = await web.get(login_url(WAY, settings, client.id, redirect, made).replace("prompt=consent", ""))
        found = answer(urlsplit(quiet.headers["location"]).query, made)
        assert isinstance(found, Code)
        silent = await redeem(found.value)
        assert isinstance(silent, exchange.Tokens)
        assert silent.refresh_token == ""
        plain = await web.get(login_url(WAY, settings, client.id, redirect, made).replace("S256", "plain"))
        assert parse_qs(urlsplit(plain.headers["location"]).query)["error"] == ["invalid_request"]
        assert (await web.get(login_url(WAY, settings, client.id, "https://evil.example/", made))).status_code == 400
