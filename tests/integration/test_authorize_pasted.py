"""`authorize` for Stripe and CardDAV: pasted credentials, each permission tried by a harmless request."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from services.connectors.carddav.permissions import examine as examine_carddav
from services.connectors.carddav.sandbox import CarddavSandbox
from services.connectors.served import serve
from services.connectors.stripe.permissions import examine as examine_stripe
from services.connectors.stripe.sandbox import StripeSandbox
from services.connectors.stripe.sandbox.fault import Where
from services.runtime.app import Access
from services.runtime.clock import SystemClock
from tests.integration.shell_rig import Shell

KEY = "rk_test_canary1234567890"
ADA = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:1\r\nFN:Ada\r\nN:;Ada;;;\r\nEND:VCARD\r\n"


@pytest.fixture
def shell(open_folder: Path) -> Iterator[Shell]:
    folder = Path(tempfile.mkdtemp(dir=open_folder))
    folder.chmod(0o755)
    yield Shell(folder, {}, ["canary", CarddavSandbox.password])
    shutil.rmtree(folder)


def access(box: StripeSandbox, key: str = KEY, **settings: str) -> Access:
    return Access(
        account="shop",
        settings={"api_base": "http://stripe.test", **settings},
        credentials={"api_key": (key,)},
        http=httpx2.AsyncClient(transport=httpx2.ASGITransport(app=box.app)),
        clock=SystemClock(),
    )


def forbid(box: StripeSandbox, method: str, path: str) -> None:
    """As Stripe answers a restricted key that lacks the permission for a request: 403 without a code."""
    box.faults.fail(403, Where(method, path, times=None), message="The provided key does not have the permissions.")


async def test_g8_a_restricted_key_is_checked_by_real_calls_and_kept(shell: Shell) -> None:
    async with StripeSandbox(KEY) as box, serve(box) as url:
        where = ["authorize", "shop", "--app", "stripe", "--set", f"api_base={url}"]
        out = await shell.answer(*where, stdin=f"{KEY}\nwhsec_canary1234567890\n")
        assert [line.strip() for line in out.splitlines()[:6]] == [
            "shop (Stripe): test mode, restricted key",
            "✓ Customers: Read",
            "✓ Customers: Write",
            "✓ Subscriptions: Read",
            "✓ Events: Read",
            "Stored, encrypted: api_key, webhook_secrets of shop.",
        ]
        assert f'shop: {{app: stripe, api_base: "{url}"}}' in out
        assert len(box.events) == 0
        # Another key, and the signing secret stays: an empty line.
        box.api_keys.add("rk_test_canary2")
        again = await shell.answer("authorize", "shop", stdin="rk_test_canary2\n\n")
        assert "Stored, encrypted: api_key of shop." in again
        refused = await shell.run("authorize", "shop", stdin="rk_test_canary3\n\n")
        assert refused.status == 1
        assert "✗ Key: Stripe doesn't take the key" in refused.out
        wrong = await shell.run("authorize", "shop", stdin="pk_test_canary\n\n")
        assert wrong.status == 1
        assert "api_key doesn't look like one of Stripe's" in wrong.err
        # The environment counts before the standard input.
        shell.environ["SHOP_API_KEY"] = KEY
        assert "test mode" in await shell.answer("authorize", "shop", stdin="\n")


@pytest.mark.parametrize(
    ("method", "path", "title"),
    [
        ("GET", "/v1/customers", "Customers: Read"),
        ("POST", "/v1/customers/*", "Customers: Write"),
        ("GET", "/v1/subscriptions", "Subscriptions: Read"),
        ("GET", "/v1/events", "Events: Read"),
    ],
)
async def test_g8_a_permission_that_is_missing_is_named_as_in_the_dashboard(method: str, path: str, title: str) -> None:
    async with StripeSandbox(KEY) as box:
        forbid(box, method, path)
        found = await examine_stripe(access(box))
        assert found.wrong
        assert [each.what for each in found.findings if each.state == "wrong"] == [title]
        assert [each.what for each in found.findings] == [
            "Customers: Read",
            "Customers: Write",
            "Subscriptions: Read",
            "Events: Read",
        ]


async def test_events_are_not_asked_for_where_they_are_off_and_a_secret_key_is_advised_against() -> None:
    async with StripeSandbox("sk_live_canary") as box:
        found = await examine_stripe(access(box, "sk_live_canary", events="off"))
    assert found.who == "live mode, secret key"
    assert [(each.what, each.state) for each in found.findings][2:] == [
        ("Subscriptions: Read", "fine"),
        ("Key", "doubtful"),
    ]
    assert not found.wrong


async def test_an_examination_changes_nothing() -> None:
    async with StripeSandbox(KEY) as box:
        before = box.dashboard.create(email="ada@example.com")
        events = len(box.events)
        await examine_stripe(access(box))
        assert len(box.events) == events
        assert box.customers.retrieve(before["id"])["description"] is None


async def test_g8_an_address_book_is_found_by_its_login(shell: Shell, tmp_path: Path) -> None:
    async with CarddavSandbox(tmp_path / "radicale") as box:
        where = ["authorize", "book", "--app", "carddav", "--set", f"url={box.origin}/", "--set", "username=ada"]
        shell.environ["BOOK_PASSWORD"] = "closed canary"
        refused = await shell.run(*where)
        assert refused.status == 1
        assert "✗ Login: the server refuses the user or the password" in refused.out
        del shell.environ["BOOK_PASSWORD"]
        out = await shell.answer(*where, stdin=f"{box.password}\n")
        assert "✓ Address book: found at /ada/contacts/" in out
        assert "✓ Writing" in out
        assert f'book: {{app: carddav, url: "{box.origin}/", username: ada}}' in out
        async with httpx2.AsyncClient(trust_env=False) as web:
            lost = Access(
                account="book",
                settings={**box.settings, "url": f"{box.origin}/ada/nothing/"},
                credentials=box.credentials,
                http=web,
                clock=SystemClock(),
            )
            found = await examine_carddav(lost)
        assert found.wrong
