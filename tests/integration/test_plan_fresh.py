"""G3: a fresh plan reads the apps themselves, stores nothing, and knows accounts that weren't read yet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from services.connectors.stripe.sandbox import StripeSandbox, serve
from services.runtime.store import Store
from tests.integration.test_hand_cli import Shell

SHOP, TILL = "sk_test_shop123456789012345", "sk_test_till123456789012345"


@pytest.fixture
def shell(tmp_path: Path, database: str) -> Iterator[Shell]:
    """A command line on the test's own database, where nothing was applied yet."""
    made = Shell(tmp_path, database)
    try:
        yield made
    finally:
        made.close()


async def test_g3_a_first_file_is_planned_from_what_the_apps_say(shell: Shell, store: Store, tmp_path: Path) -> None:
    async with StripeSandbox(SHOP) as shop, serve(shop) as here, StripeSandbox(TILL) as till, serve(till) as there:
        ada: str = shop.dashboard.create(name="Ada", email="ada@example.com", phone="+1 202 555 0101")["id"]
        shop.dashboard.create(name="Bob", email="bob@example.com")
        known: str = till.dashboard.create(name="Ada", email="ada@example.com")["id"]
        (tmp_path / "first.yaml").write_text(
            f"""\
accounts:
  shop: {{app: stripe, api_key: {SHOP}, api_base: '{here}', webhook_secrets: [whsec_1]}}
  till: {{app: stripe, api_key: {TILL}, api_base: '{there}', webhook_secrets: [whsec_1]}}
connections:
  shop-till: {{left: shop, right: till}}
"""
        )
        said = await asyncio.to_thread(shell.answer, "plan", "--offline", "first.yaml")
        assert "shop hasn't been read yet: what comes of its contacts can't be told. `--fresh` reads it." in said
        answer = await asyncio.to_thread(shell.answer, "plan", "--offline", "--fresh", "--json", "first.yaml")
        plan = msgspec.json.decode(answer)
        assert plan["from"] == "fresh"
        assert plan["counts"] == {"shop-till": {"create": 1, "update": 1, "link": 1}}
        told = {each["kind"]: each for each in plan["would"]}
        assert told["update"]["contact"] == known
        assert told["update"]["changes"] == [{"field": "phone", "before": [], "after": ["+1 202 555 0101"]}]
        assert told["update"]["of"] == ada
        assert told["create"]["account"] == "till"
        assert told["create"]["who"] == "bob@example.com"
        for box in (shop, till):
            assert {request.method for request in box.requests} == {"GET"}
        for table in ("sync.contact", "sync.link", "sync.outbox", "registry.config", "registry.account"):
            assert await store.fetchval(f"SELECT count(*) FROM {table}") == 0  # noqa: S608 - our tables
