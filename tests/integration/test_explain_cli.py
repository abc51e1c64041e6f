"""`contactsync explain` as a person types it: by every name that a contact has, readable, as JSON; no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from services.contracts.commands import Create, Find
from services.contracts.contact import Subscription
from services.contracts.envelope import derived
from services.contracts.receipts import Absent
from services.runtime.log import RECEIPTS
from services.runtime.store import Store
from tests.integration.sync_messages import changed, message, one, shop, written
from tests.integration.sync_rig import Owner, Rig
from tests.integration.test_hand_cli import Shell, aim, doubt, in_force, installation

FILE = """\
accounts:
  shop: {app: stripe, api_key: rk_test_1, webhook_secrets: [whsec_1]}
  till: {app: stripe, api_key: rk_test_2, webhook_secrets: [whsec_1]}
  idle: {app: stripe, api_key: rk_test_3, webhook_secrets: [whsec_1]}
connections:
  shop-till:
    left: shop
    right: till
    rules:
      - from: left
        if: [{subscribed_to: price_pro}]
      - from: right
"""


@pytest.fixture
def shell(tmp_path: Path, database: str) -> Iterator[Shell]:
    """A command line on the test's own database, with its connections in force."""
    with in_force(tmp_path, database, FILE, "--offline") as made:
        yield made


async def create_of(made: Rig, receipts: Owner) -> Create:
    """The create that follows when the target has answered that it has no contact with the address."""
    find = one(await made.drain(), Find)
    await receipts.take(Absent(link=find.link, account=find.account, address=find.address, number=find.number))
    return one(await made.drain(), Create)


async def test_g4_a_person_asks_by_every_name_and_reads_what_is_and_why(shell: Shell, store: Store) -> None:
    async with installation(store) as (made, events):
        await store.execute("INSERT INTO sync.account (account, scanned_at) SELECT name, now() FROM registry.account")
        receipts = await made.own(RECEIPTS)
        pro, basic = (
            (Subscription(id="sub_1", status="active", plans=(plan,)),) for plan in ("price_pro", "price_basic")
        )
        ada, bob = shop("Ada\x1b[31m [bold]King", "ada@example.com"), shop("Bob", "bob@example.com")
        await events.take(
            message(replace(changed("shop", "cus_ada", ada), subscriptions=pro), id="stripe:evt_ada"),
            replace(changed("shop", "cus_bob", bob), subscriptions=basic),
            changed("idle", "cus_idle", shop("Idle", "idle@example.com")),
        )
        create = await create_of(made, receipts)
        await receipts.take(written(create, at=10, contact_id="cus_made"))
    text = shell.answer("explain", "ada@example.com")
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "shop-till: cus_ada <-> cus_made"
    assert f"It is in the sync. Link {create.aim.link}." in lines
    assert "\x1b" not in text
    assert "shop name: Ada·[31m [bold]King" in lines
    at = lines.index("name (<->): both sides say the same")
    assert lines[at + 2].endswith("(webhook stripe:evt_ada)")
    assert lines[at + 4].startswith("written by contactsync from shop's name, write 1.1, ")
    assert lines[at + 4].endswith(" UTC (after webhook stripe:evt_ada)")
    assert "✓ is subscribed to price_pro — subscriptions: price_pro (active)" in lines
    assert any(line.startswith("sent: create 1.1 to till of email, name: written 20") for line in lines)
    for name in ("cus_ada", "till/cus_made", create.aim.link, " ADA@example.com"):
        assert shell.answer("explain", name).splitlines()[0] == text.splitlines()[0]
    excluded = [line.strip() for line in shell.answer("explain", "shop/cus_bob", "--since", "2h").splitlines()]
    assert "It is outside the sync: no error, rules decide." in " ".join(excluded)
    assert "✗ is subscribed to price_pro — subscriptions: price_basic (active)" in excluded
    answer = msgspec.json.decode(shell.answer("explain", "cus_bob", "--json", "--limit", "1"))
    (told,) = answer["explanations"]
    assert (told["status"], told["rules"][0]["rules"][0]["grounds"][0]["holds"]) == ("outside", False)
    assert len(told["timeline"]) == 1
    failing = {
        ("nobody@example.com",): (1, "There is no contact nobody@example.com in shop or till."),
        ("shop/cus_bop",): (1, "There is no contact cus_bop in shop. Did you mean cus_bob?"),
        ("idle@example.com",): (1, "cus_idle of idle is in no connection: nothing is done with it."),
        (derived("link", "none"),): (1, "There is no link "),
        ("cus_bob", "--connection", "shop-tiel"): (2, "Did you mean shop-till?"),
        ("cus_bob", "--since", "yesterday"): (2, "yesterday is no time."),
        ("cus_bob", "--limit", "-1"): (2, "--limit is how many entries are shown"),
    }
    for arguments, (status, said) in failing.items():
        done = shell.run("explain", *arguments)
        assert (done.returncode, done.stdout) == (status, ""), (arguments, done)
        assert said in done.stderr, (arguments, done.stderr)


async def test_g4_a_write_that_nobody_answered_shows_how_far_the_connectors_are(shell: Shell, store: Store) -> None:
    async with installation(store) as (made, events):
        await store.execute("INSERT INTO sync.account (account, scanned_at) SELECT name, now() FROM registry.account")
        pro = (Subscription(id="sub_1", status="active", plans=("price_pro",)),)
        await events.take(replace(changed("shop", "cus_ada", shop("Ada", "ada@example.com")), subscriptions=pro))
        create = await create_of(made, await made.own(RECEIPTS))
    await doubt(store, 1, Create(aim=aim(1), fields=create.fields), "create", 2)
    await store.execute("UPDATE connectors.ledger SET link = $1", create.aim.link)
    lines = [line.strip() for line in shell.answer("explain", "cus_ada").splitlines()]
    assert "write 1.1 to till: sent once; whether it was done isn't known: the app didn't answer" in lines
    assert lines[0] == "shop-till: cus_ada <-> nobody"
    assert any(line.endswith("create 1.1 of email, name") for line in lines)
    (attempt,) = msgspec.json.decode(shell.answer("explain", "cus_ada", "--json"))["attempts"]
    assert (attempt["state"], attempt["attempt"], attempt["side"]) == ("unknown", 1, "right")
