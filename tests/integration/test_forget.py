"""`contactsync forget` as a person types it, and what is left of whom it was about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.connectors import discover
from services.connectors.publish import enqueue, look_answer
from services.contracts.app import Seen
from services.contracts.contact import Contact, Order
from services.contracts.events import LookAnswer
from services.ingest.publish import Publisher
from services.runtime.log import commands_topic
from services.runtime.store import Store
from services.sync.sweeper import Sweeper
from tests.integration.forget_rig import PHONE, TRACES, held, traces
from tests.integration.obedient import apps
from tests.integration.sync_messages import DAY, changed, message, shop
from tests.integration.test_hand_cli import Shell, in_force, installation
from tests.integration.test_revert_cli import FILE


@pytest.fixture
def shell(tmp_path: Path, database: str) -> Iterator[Shell]:
    """A command line on the test's own database, with its connection in force."""
    with in_force(tmp_path, database, FILE, "--offline") as made:
        yield made


async def test_g7_a_forgotten_person_is_nowhere_and_does_not_come_back(
    shell: Shell, store: Store, tmp_path: Path
) -> None:
    manifests = {name: app.manifest for name, app in discover().items()}
    async with installation(store) as (made, _):
        await made.log.create_topics({commands_topic("stripe"): 2})
        made.sweeper = Sweeper(store, manifests, lambda: None)
        beside = await apps(made)
        grace = {**shop("Grace Quillfeather", "grace@quill.example"), "phone": (PHONE,)}
        await beside.edit("shop", "cus_grace", grace)
        await beside.edit("shop", "cus_ada", shop("Ada", "ada@example.com"))
        await beside.scanned("shop", "till")
        await beside.rest()
        assert await traces(store) != []
        links = await store.fetchval("SELECT count(*) FROM sync.link")

        unasked = shell.run("forget", "grace@quill.example")
        assert unasked.returncode == 2
        assert "2 contacts, 1 links, 1 addresses" in unasked.stdout
        assert await traces(store) != []
        shell.answer("export", "people.tar")
        path = tmp_path / "people.tar"
        assert held(path)
        done = shell.run("forget", "Grace@Quill.example", "--yes", "--archive", "people.tar")
        assert not held(path)
        assert (done.returncode, done.stderr) == (0, "")
        assert "The contacts in the apps themselves stay" in done.stdout
        assert not any(text in done.stdout for text in TRACES)
        assert await traces(store) == []
        assert await store.fetchval("SELECT count(*) FROM sync.link") == links - 1

        audit = shell.run("replay", "--audit")
        assert (audit.returncode, "differences=0 writes=0" in audit.stdout) == (0, True), audit

        before = await store.fetchval("SELECT count(*) FROM log.record")
        again = [
            changed("shop", "cus_grace", grace, at=10_000),
            changed("till", "cus_elsewhere", grace, at=10_001),
        ]
        publisher = Publisher(made.log, store=store)
        await publisher.publish([message(body) for body in again])
        assert await store.fetchval("SELECT count(*) FROM log.record") == before
        async with store.transaction() as tx:
            seen = Seen(contact_id="cus_grace", order=Order(1, 2), contact=Contact(fields=grace))
            answer = look_answer("shop", seen, LookAnswer(number=1, attempt=1), now=DAY)
            await enqueue(tx, "shop", [answer])
        assert await traces(store) == []

        for body in again:
            await beside._take(beside.events, body)
        assert await beside.rest() == []
        assert await traces(store) == []
        assert await store.fetchval("SELECT count(*) FROM sync.contact WHERE contact_id = 'cus_grace'") == 0
        assert await store.fetchval("SELECT count(*) FROM sync.parked") == 0

        (line,) = shell.answer("forget", "--list").splitlines()
        entry = line.split()[0]
        shell.answer("forget", "--lift", entry)
        await beside._take(beside.events, changed("shop", "cus_grace", grace, at=20_000))
        assert await store.fetchval("SELECT count(*) FROM sync.contact WHERE contact_id = 'cus_grace'") == 1
