"""`link`, `unlink`, `duplicates`, `retry`, `settle` and `parked` as a person types them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from services.connectors import discover, ledger
from services.connectors.entry import Entry, Task, doubtful, sending
from services.connectors.stripe.sandbox import StripeSandbox, serve
from services.contracts.commands import Aim, Create, Update, Version, Write
from services.contracts.envelope import derived
from services.contracts.receipts import Receipt, Refused, Written
from services.runtime.log import EVENTS, RECEIPTS
from services.runtime.log.postgres import PostgresLog
from services.runtime.store import Store
from services.sync.worker import Worker
from tests.integration.sync_messages import changed, one, raw, shop
from tests.integration.sync_rig import TOPICS, Owner, Rig

REPOSITORY = Path(__file__).resolve().parents[2]
KEY = "sk_test_till123456789012345"
FILE = """\
accounts:
  shop: {app: stripe, api_key: rk_test_1, webhook_secrets: [whsec_1]}
  till: {app: stripe, api_key: rk_test_2, webhook_secrets: [whsec_1]}
  mall: {app: stripe, api_key: rk_test_3, webhook_secrets: [whsec_1]}
connections:
  shop-till: {left: shop, right: till}
  shop-mall: {left: shop, right: mall}
"""


SITTING = """
import contextlib, io, json, sys
from services.cli import main
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(json.loads(line))
    print(json.dumps([status, out.getvalue(), err.getvalue()]), flush=True)
"""
"""A process that runs one command after the other: starting one for each takes longer than all they do."""


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


class Shell:
    """Runs `contactsync …` in a folder, on a database of one's own."""

    def __init__(self, folder: Path, database: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CONTACTSYNC_")}
        settings = {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(REPOSITORY), *sys.path])),
            "CONTACTSYNC_STORE_URL": database,
            "CONTACTSYNC_SECRET_KEY": "0123456789abcdef" * 4,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", SITTING],
            cwd=folder,
            env={**kept, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> Done:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{msgspec.json.encode(arguments).decode()}\n")
        self._process.stdin.flush()
        done = Done(*msgspec.json.decode(self._process.stdout.readline(), type=tuple[int, str, str]))
        assert "mistake of its own" not in done.stderr
        return done

    def answer(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def close(self) -> None:
        with self._process as process:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=30)


@contextmanager
def in_force(folder: Path, database: str, text: str, *options: str) -> Iterator[Shell]:
    """A command line in the folder, on the database, with a file of this text applied."""
    (folder / "contacts.yaml").write_text(text)
    made = Shell(folder, database)
    try:
        made.answer("apply", *options, "contacts.yaml")
        yield made
    finally:
        made.close()


@pytest.fixture
def shell(tmp_path: Path, database: str) -> Iterator[Shell]:
    """A command line on the test's own database."""
    with in_force(tmp_path, database, FILE) as made:
        yield made


@asynccontextmanager
async def installation(store: Store) -> AsyncIterator[tuple[Rig, Owner]]:
    """Sync with the real apps' manifests, before any scan has ended; and the owner of the events."""
    manifests = {name: app.manifest for name, app in discover().items()}
    async with PostgresLog.open(store) as log:
        await log.create_topics(TOPICS)
        made = Rig(store, log)
        made.worker = Worker(store, log, manifests, lambda: None)
        yield made, await made.own(EVENTS)


async def test_c7_a_person_links_and_unlinks_by_ids_and_addresses(shell: Shell, store: Store) -> None:
    async with installation(store) as (_, events):
        await events.take(
            changed("shop", "cus_ada", shop("A. King", "ada@example.com")),
            changed("shop", "cus_bob", shop("A. King", "bob@example.com")),
            changed("till", "cus_one", shop("A. King", "one@example.com")),
            changed("till", "cus_two", shop("A. King", "two@example.com")),
            changed("till", "cus_too", shop("A. King", "two@example.com")),
            changed("mall", "cus_ada_mall", shop("A. King", "ada@example.com")),
        )
    assert shell.answer("link", "ada@example.com", "cus_one") == (
        "Linked in shop-till: cus_ada of shop with cus_one of till.\n"
    )
    assert shell.answer("link", "cus_ada", "One@Example.com ").startswith(
        "cus_ada of shop and cus_one of till are linked already"
    )
    moved = shell.answer("link", "bob@example.com", "cus_one", "--connection", "shop-till").splitlines()
    assert moved[0] == "Linked in shop-till: cus_bob of shop with cus_one of till."
    assert moved[1:] == ["  cus_ada of shop was linked with one of them, and isn't any more."]
    refused = {
        ("link", "cus_ada", "two@example.com"): "two@example.com names several contacts: write the id of the one you",
        ("link", "cus_one", "cus_ada"): "Write `contactsync link cus_ada cus_one`.",
        ("link", "ada@exampel.com", "cus_one"): "no contact ada@exampel.com in shop. Did you mean ada@example.com?",
        ("link", "cus_adda", "cus_one"): "There is no contact cus_adda in shop. Did you mean cus_ada?",
        ("link", "cus_ada", "cus_one", "--connection", "shop-tiel"): "Did you mean shop-till?",
        ("unlink", "cus_two"): "cus_two isn't linked with any contact: there is nothing to do.",
        ("unlink", derived("link", "none")): "No pair has the link ",
    }
    for arguments, said in refused.items():
        done = shell.run(*arguments)
        assert done.returncode != 0, arguments
        assert said in done.stderr, (arguments, done.stderr)
    told = shell.answer("unlink", "bob@example.com").splitlines()
    assert told[0] == "Unlinked in shop-till: cus_bob of shop and cus_one of till."
    assert told[-1] == "  `contactsync link cus_bob cus_one --connection shop-till` takes that back."
    assert "Unlinked in shop-mall: cus_ada of shop" in shell.answer("unlink", "cus_ada_mall")


async def test_c4_and_g2_duplicates_and_refusals_in_a_persons_hands(shell: Shell, store: Store) -> None:
    async with installation(store) as (made, events):
        await events.take(
            changed("shop", "cus_ada", shop("Ada", "ada@example.com")),
            changed("till", "cus_till", shop("Ada", "ada@example.com")),
            changed("shop", "cus_twin", shop("Twin", "ada@example.com")),
            changed("till", "cus_else", shop("Else", "else@example.com")),
        )
        listed = [" ".join(line.split()) for line in shell.answer("duplicates").splitlines()]
        assert listed[1].startswith("shop-mall cus_twin of shop cus_ada, came first with ada@example.com ")
        assert listed[2].startswith(
            "shop-till cus_twin of shop cus_ada, linked with cus_till, came first with ada@example.com "
        )
        assert listed[2].endswith(" delete cus_ada or change one's address")
        (found,) = msgspec.json.decode(shell.answer("duplicates", "--json", "--connection", "shop-till"))
        assert found["blocker"] == {"account": "shop", "contact_id": "cus_ada"}
        assert "contactsync duplicates" in shell.answer("status")
        receipts = await made.own(RECEIPTS)
        await events.take(changed("shop", "cus_ada", shop("Countess", "ada@example.com"), at=50))
        update = one(await made.drain(), Update)
        await receipts.take(Receipt(aim=update.aim, outcome=Refused(reason="no", fields=("name",))))
        assert "1 link with refused values" in shell.run("retry").stderr
        assert shell.answer("retry", "cus_else") == "Nothing was refused there: there is nothing to try again.\n"
        assert shell.answer("retry", "cus_till") == "1 refused value of 1 link forgotten: sent again now.\n"
        again = one(await made.drain(), Update)
        assert again.fields == update.fields
        await receipts.take(Receipt(aim=again.aim, outcome=Refused(reason="no", fields=("name",))))
        assert shell.answer("retry", "--all") == "1 refused value of 1 link forgotten: sent again now.\n"
        assert shell.run("retry", "cus_ada", "--all").returncode == 2
        await store.execute("INSERT INTO sync.stuck VALUES ('reconsider', $1, 'KeyError', now())", update.aim.link)
        assert "Couldn't be reconsidered: 1." in shell.answer("status")
        assert shell.answer("retry", update.aim.link) == "1 failed reconsideration tried again now.\n"


async def doubt(store: Store, number: int, command: Write, kind: str, hours: float) -> None:
    """A write in the ledger whose outcome nobody knows."""
    async with store.transaction() as tx:
        now = await tx.fetchval("SELECT now() - make_interval(secs => $1)", hours * 3600)
        task = Task(type=f"command.{kind}", command=command, decided_at=now)
        link = derived("link", number)
        fresh = Entry(link=link, side="right", app="stripe", task=task, next_try_at=now, created_at=now)
        await ledger.add(tx, doubtful(sending(fresh, now), now, now, "the app didn't answer"))


def aim(number: int) -> Aim:
    return Aim(
        link=derived("link", number),
        side="right",
        version=Version(1, 1),
        connection="shop-till",
        config_version=1,
        account="till",
    )


async def test_g9_status_names_unknown_outcomes_and_settle_ends_them(shell: Shell, store: Store) -> None:
    made, changed_, fresh = (derived("link", number) for number in (1, 2, 3))
    assert shell.run("settle", made, "--absent").stderr == "No outcome is unknown now: there is nothing to settle.\n"
    await doubt(store, 1, Create(aim=aim(1), fields={"name": ("Ada",)}), "create", 3)
    await doubt(store, 2, Update(aim=aim(2), contact_id="cus_2", fields={}, expected={}), "update", 2)
    await doubt(store, 3, Create(aim=aim(3), fields={"name": ("Bob",)}), "create", 0.5)
    lines = [" ".join(line.split()) for line in shell.answer("status").splitlines()]
    assert f"create in till 3 h contactsync settle {made} --contact ID | --absent" in lines
    assert f"update in till 2 h contactsync settle {changed_} --applied | --absent" in lines
    assert fresh not in "".join(lines)
    assert [each["link"] for each in msgspec.json.decode(shell.answer("status", "--json"))["unknown"]] == [
        made,
        changed_,
    ]
    refused = {
        (made,): "Write one of --contact ID, --applied and --absent.",
        (made, "--applied"): "It was to create a contact in till: write --contact ID with the one that was made.",
        (derived("link", 4), "--absent"): "has an unknown outcome. These have:",
    }
    for arguments, said in refused.items():
        assert said in shell.run("settle", *arguments).stderr, arguments
    assert shell.answer("settle", changed_[:13], "--applied") == (
        "Settled: the update in till was done. What changed since follows.\n"
    )
    assert shell.answer("settle", made, "--absent") == (
        "Settled: the create in till came to nothing. It is sent anew, once.\n"
    )
    assert "No write of" in shell.run("settle", made, "--absent").stderr
    states = await store.fetch("SELECT link::text, state, key_n FROM connectors.ledger ORDER BY created_at")
    assert [tuple(row) for row in states] == [
        (made, "pending", 1),
        (changed_, "settled", 0),
        (fresh, "unknown", 0),
    ]
    told = await store.fetch(
        "SELECT link::text, outcome, cause FROM sync.journal WHERE input = 'person' ORDER BY number"
    )
    assert [tuple(row) for row in told] == [(changed_, "settled", "settle right"), (made, "settled", "settle right")]
    assert await store.fetchval("SELECT count(*) FROM connectors.report") == 1


async def test_messages_set_aside_are_listed_shown_released_and_dropped(shell: Shell, store: Store) -> None:
    assert shell.answer("parked", "list") == "Nothing is set aside.\n"
    async with installation(store) as (_, events):
        secret = b'{"email":"ada@example.com"}'
        await events.take(raw("contact.vanished", secret), raw("contact.split", secret))
    listed = shell.answer("parked", "list")
    assert "ada@example.com" not in listed
    assert "sync-1  contact.vanished  contacts.events/0/0  unknown message type" in " ".join(listed.split(" "))
    found = msgspec.json.decode(shell.answer("parked", "list", "--json"))
    assert [(each["id"], each["size"]) for each in found] == [("sync-1", len(secret)), ("sync-2", len(secret))]
    assert "Messages set aside: 2." in shell.answer("status")
    shown = shell.answer("parked", "show", "sync-1")
    assert "ce_type: contact.vanished" in shown
    assert f"Its body has {len(secret)} bytes. --body shows it: it may hold a contact's data." in shown
    assert "ada@example.com" not in shown
    assert "ada@example.com" in shell.answer("parked", "show", "sync-1", "--body")
    assert shell.answer("parked", "release", "sync-1").startswith("Released: sync-1 goes back into contacts.events.")
    assert shell.answer("parked", "drop", "sync-2") == "Dropped: sync-2 is gone for good.\n"
    for id in ("sync-2", "connectors-1", "sync-99999999999999999999"):
        done = shell.run("parked", "drop", id)
        assert (done.returncode, done.stderr) == (
            1,
            f"No message {id} is set aside. `contactsync parked list` shows what is.\n",
        )
    outcomes = await store.fetch("SELECT outcome FROM sync.journal WHERE input = 'person' ORDER BY number")
    assert [row["outcome"] for row in outcomes] == ["released", "dropped"]


async def test_g9_the_contact_that_a_person_names_is_read_before_it_is_believed(
    shell: Shell, store: Store, tmp_path: Path
) -> None:
    async with StripeSandbox(KEY) as box, serve(box) as url:
        customer: str = box.dashboard.create(name="Ada", email="ada@example.com")["id"]
        file = FILE.replace("api_key: rk_test_2,", f"api_key: {KEY}, api_base: '{url}',")
        (tmp_path / "contacts.yaml").write_text(file)
        await asyncio.to_thread(shell.answer, "apply", "contacts.yaml")
        await doubt(store, 1, Create(aim=aim(1), fields={"name": ("Ada",)}), "create", 3)
        nobody = await asyncio.to_thread(shell.run, "settle", aim(1).link, "--contact", "cus_nobody")
        assert nobody.stderr == "till has no contact cus_nobody. If nothing was made, write --absent.\n"
        said = await asyncio.to_thread(shell.answer, "settle", aim(1).link, "--contact", customer)
        assert said == f"Settled: the create in till made {customer}. What changed since follows.\n"
    stored = await store.fetchval("SELECT receipt FROM connectors.ledger")
    outcome = msgspec.json.decode(stored, type=Receipt).outcome
    assert isinstance(outcome, Written)
    assert (outcome.contact_id, outcome.looked) == (customer, True)
    assert outcome.seen is not None
    assert outcome.seen.contact.fields["email"] == ("ada@example.com",)
