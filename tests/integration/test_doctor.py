"""`doctor`: what it says of an installation that works, and of each part that doesn't."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import msgspec
import pytest

from services.connectors.carddav.sandbox import CarddavSandbox
from services.connectors.served import serve
from services.connectors.stripe.endpoints import hooks
from services.connectors.stripe.sandbox import StripeSandbox
from services.connectors.stripe.sandbox.fault import Where
from services.runtime.store import Store
from tests.integration.shell_rig import Shell
from tests.integration.test_authorize_pasted import KEY, access

Eventually: TypeAlias = Callable[..., Awaitable[None]]
HOOK = "whsec_canary1234567890"
EMAIL = "ada.canary@example.com"


@pytest.fixture
def shell(open_folder: Path, database: str) -> Iterator[Shell]:
    folder = Path(tempfile.mkdtemp(dir=open_folder))
    folder.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = {
        "CONTACTSYNC_STORE_URL": database,
        "CONTACTSYNC_SECRET_KEY": "0123456789abcdef",
        "CONTACTSYNC_LISTEN": f"127.0.0.1:{port}",
        "BOOK_PASSWORD": CarddavSandbox.password,
    }
    yield Shell(folder, environ, ["canary", CarddavSandbox.password])
    shutil.rmtree(folder)


@pytest.fixture
async def stripe() -> AsyncIterator[tuple[StripeSandbox, str]]:
    async with StripeSandbox(KEY) as box, serve(box) as url:
        box.dashboard.create(email=EMAIL)
        yield box, url


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[CarddavSandbox]:
    async with CarddavSandbox(tmp_path / "radicale") as box:
        yield box


def write(shell: Shell, stripe_url: str, book: CarddavSandbox) -> None:
    (shell.folder / "contacts.yaml").write_text(
        f"accounts:\n  shop: {{app: stripe, api_key: {KEY}, webhook_secrets: [{HOOK}], api_base: '{stripe_url}'}}\n"
        f"  book: {{app: carddav, url: '{book.url}', username: ada, password: '${{BOOK_PASSWORD}}'}}\n"
        "connections:\n  shop-book: {left: shop, right: book}\n"
    )


async def said(shell: Shell, status: int) -> list[tuple[str, str, str]]:
    done = await shell.run("doctor", "--json")
    assert done.status == status, done.out + done.err
    return [(line["about"], line["state"], line["told"]) for line in msgspec.json.decode(done.out)]


async def test_the_doctor_on_a_healthy_installation_and_on_a_sick_one(
    shell: Shell, stripe: tuple[StripeSandbox, str], book: CarddavSandbox, database: str, eventually: Eventually
) -> None:
    box, url = stripe
    write(shell, url, book)
    before = await said(shell, 1)
    assert [line[:2] for line in before] == [
        ("store", "fine"),
        ("log", "wrong"),
        ("webhooks", "doubtful"),
        ("accounts", "doubtful"),
    ]
    await shell.answer("migrate")
    await shell.answer("apply", "contacts.yaml")
    running = await shell.start("run")
    try:
        async with Store.open(database) as store:
            await eventually(lambda: _read(store), 40)
        box.webhooks.endpoints.add(f"{_listen(shell)}/hooks/shop", secret=HOOK)
        healthy = await shell.run("doctor")
        # An endpoint with another secret: its deliveries are refused.
        requests = len(box.requests)
        box.webhooks.endpoints.add(f"{_listen(shell)}/hooks/shop", secret="whsec_wrong1234567890")
        box.dashboard.create(email="grace@example.com")

        async def noticed() -> bool:
            return "signature" in (await shell.run("doctor")).out

        await eventually(noticed, 30)
        sick = await shell.run("doctor")
    finally:
        running.terminate()
        await shell.end(running)
    assert healthy.status == 0, healthy.out
    assert "! " not in healthy.out
    assert "✗" not in healthy.out
    lines = healthy.out.splitlines()
    assert lines[0].startswith("✓ store: PostgreSQL ")
    assert lines[1].startswith("✓ log: in PostgreSQL, ")
    assert lines[2].endswith("takes them, under /hooks/ACCOUNT")
    assert lines[3].startswith("✓ book: CardDAV · the address book ")
    assert "✓ shop: Stripe · test mode, restricted key · Customers: Read, Customers: Write" in healthy.out
    assert "✓ shop: Webhook endpoint" in healthy.out
    assert sick.status == 0
    assert "! shop: webhooks since contactsync started: " in sick.out
    assert "→ Is the webhook secret that of this endpoint?" in sick.out
    assert all(request.method == "GET" or "nobody" in request.path for request in list(box.requests)[requests:])


async def _read(store: Store) -> bool:
    return bool(await store.fetchval("SELECT count(*) = 2 FROM ingest.cursor WHERE last_ok_at IS NOT NULL"))


def _listen(shell: Shell) -> str:
    return f"http://{shell.environ['CONTACTSYNC_LISTEN']}"


async def test_what_is_wrong_with_accounts_is_told_each_with_its_next_step(
    shell: Shell, stripe: tuple[StripeSandbox, str], book: CarddavSandbox, store: Store, database: str
) -> None:
    box, url = stripe
    write(shell, url, book)
    await shell.answer("migrate")
    await shell.answer("apply", "contacts.yaml")
    box.faults.fail(403, Where("POST", "/v1/customers/*", times=None), message="No.")
    await store.execute(
        "INSERT INTO connectors.account (account, revoked_at, reason) VALUES ('book', now() - interval '3 h', '401')"
    )
    await store.execute("DELETE FROM registry.credential WHERE field = 'webhook_secrets'")
    done = await shell.run("doctor")
    assert done.status == 1
    assert "✗ shop: Stripe · test mode, restricted key · Customers: Write: the key lacks this permission" in done.out
    assert "! shop: it has no webhook secret" in done.out
    assert "! shop: it was never read\n    → `contactsync run` reads it." in done.out
    assert "✗ book: its credentials were refused 3 h ago; it has waited since\n    → `contactsync authorize book`." in (
        done.out
    )
    assert "! webhooks: nothing listens at " in done.out
    await store.execute("DELETE FROM registry.credential WHERE account = 'shop'")
    shell.environ["CONTACTSYNC_SECRET_KEY"] = "another key than before"
    sealed = await said(shell, 1)
    assert ("shop", "wrong", "it has no api_key, webhook_secrets") in sealed
    (about_book,) = [told for about, _, told in sealed if about == "book"]
    assert "was sealed with another key" in about_book


async def test_a_store_that_is_away_or_behind_is_told(shell: Shell, empty_database: str) -> None:
    shell.environ["CONTACTSYNC_STORE_URL"] = "postgresql://127.0.0.1:1/none"
    (shell.folder / "contacts.yaml").write_text(
        "accounts:\n  one: {app: stripe}\n  two: {app: stripe}\nconnections:\n  a: {left: one, right: two}\n"
    )
    checked = await shell.run("check", "contacts.yaml")
    assert checked.status == 1
    assert "What is stored doesn't count, for it can't be read now" in checked.err
    assert "account `one` has no api_key" in checked.err
    assert "`contactsync authorize one` stores credentials" in checked.err
    away = await said(shell, 1)
    assert away[0][:2] == ("store", "wrong")
    assert "Is what it leads to running?" in away[0][2]
    shell.environ["CONTACTSYNC_STORE_URL"] = empty_database
    (behind, *rest) = await said(shell, 1)
    assert behind[:2] == ("store", "wrong")
    assert behind[2].startswith("it lacks ")
    assert [line[0] for line in rest] == ["webhooks"]
    del shell.environ["CONTACTSYNC_STORE_URL"]
    assert (await said(shell, 0))[0][:2] == ("store", "doubtful")


async def test_g8_an_account_that_is_authorised_and_in_no_file_is_told(
    shell: Shell, stripe: tuple[StripeSandbox, str]
) -> None:
    del shell.environ["CONTACTSYNC_STORE_URL"]
    where = ["authorize", "shop", "--app", "stripe", "--set", f"api_base={stripe[1]}"]
    await shell.answer(*where, stdin=f"{KEY}\n\n")
    found = await said(shell, 0)
    assert [(about, state) for about, state, _ in found] == [
        ("store", "fine"),
        ("log", "doubtful"),
        ("webhooks", "doubtful"),
        ("shop", "doubtful"),
    ]
    assert found[-1][2] == "it is authorised, and no file names it"


async def test_something_else_on_the_port_is_noticed(shell: Shell) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(other, "127.0.0.1", 0)
    async with server:
        shell.environ["CONTACTSYNC_LISTEN"] = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        told = {about: (state, text) for about, state, text in await said(shell, 1)}
    assert told["webhooks"][0] == "wrong"
    assert "isn't contactsync" in told["webhooks"][1]


async def test_a_webhook_endpoint_is_looked_for_by_its_path_its_state_and_its_events() -> None:
    async with StripeSandbox(KEY) as box:

        async def found() -> tuple[str, str]:
            finding = await hooks(access(box), "/hooks/shop")
            return finding.state, finding.told

        assert await found() == ("doubtful", "none of the account's leads to /hooks/shop")
        box.webhooks.endpoints.add("https://x.example/hooks/shop", ("customer.created",))
        assert "it doesn't get customer.deleted, customer.subscription.created" in (await found())[1]
        box.webhooks.endpoints.add("https://x.example/hooks/shop")
        assert await found() == ("fine", "")
        box.faults.fail(403, Where("GET", "/v1/webhook_endpoints"), message="No.")
        assert await found() == (
            "fine",
            "not looked at, for the key lacks Webhook Endpoints: Read (nothing else needs it)",
        )
