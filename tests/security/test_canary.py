"""Secrets and contacts' data that can be told from anything else, driven through every error that there is.

None of them may show in what the services write, nor in what commands write unless they were asked for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import random
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2

from services.connectors.stripe.sandbox import StripeSandbox, Where, serve
from services.runtime.log import EVENTS
from services.runtime.log.postgres import PostgresLog
from services.runtime.store import Store
from tests.end_to_end.processes import Process, Processes, until
from tests.end_to_end.two_stripes import live
from tests.integration.shell_rig import Shell
from tests.integration.sync_messages import raw

PHONE = "+12025550199"
KEYS = ("sk_test_canaryLeft4567890123", "sk_test_canaryRight567890123")
HOOKS = ("whsec_canaryleft", "whsec_canaryright")
SECRET_KEY = "a canary of a key, of no use elsewhere"
CANARIES = ("canary", PHONE.removeprefix("+"), "555-0199")
CUSTOMERS = Where("POST", "/v1/customers*")
SHOWN = {("held", "list"), ("duplicates",)}
"""Commands whose answer is contacts' data: it is what was asked for."""
_SCANNED = "SELECT count(*) FROM sync.account WHERE scanned_at IS NOT NULL"
_PARKED = "SELECT (SELECT count(*) FROM sync.parked) + (SELECT count(*) FROM connectors.parked)"
FILE = """
accounts:
  shop: {{app: stripe, api_base: "{0}", api_key: "${{LEFT}}", webhook_secrets: ["${{HOOK_LEFT}}"]}}
  other: {{app: stripe, api_base: "{1}", api_key: "${{RIGHT}}", webhook_secrets: ["${{HOOK_RIGHT}}"]}}
connections:
  shop-other: {{left: shop, right: other, options: {{sync_deletions: both}}}}
"""


def clean(text: str) -> None:
    """Nothing in it is a secret or a contact's."""
    found = [line[:500] for line in text.splitlines() if any(canary in line.lower() for canary in CANARIES)]
    assert found == []


class Story:
    """Two accounts, the installation as one process between them, and a view into its database."""

    def __init__(self, boxes: list[StripeSandbox], base: str, store: Store, process: Process, shell: Shell) -> None:
        self.left, self.right = boxes
        self.base = base
        self.store = store
        self.process = process
        self.shell = shell
        self.numbers = iter(range(10**6))

    def changed(self) -> str:
        """Somebody's data change; the new name."""
        (id,) = (body["id"] for body in live(self.left))
        number = next(self.numbers)
        name, email = f"Canary Ada {number}", f"ada{number}@canary.example"
        self.left.dashboard.update(id, name=name, email=email, description=f"canary note of {name}")
        return name

    async def arrived(self, name: str) -> None:
        await until(lambda: [body["name"] for body in live(self.right)] == [name], 60, f"{name} has arrived")

    async def logged(self, event: str, more_than: int = 0) -> None:
        await until(lambda: len(self.process.said(event)) > more_than, 60, f"{event} is logged")

    async def deliver(self, body: bytes, *, path: str = "shop", secret: str = HOOKS[0], **headers: str) -> int:
        """One delivery's status; 0 if the connection's end overtook it."""
        now = int(time.time())
        signed = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
        given = {"content-type": "application/json", "stripe-signature": f"t={now},v1={signed}", **headers}
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as http:
            try:
                return (await http.post(f"{self.base}/hooks/{path}", content=body, headers=given)).status_code
            except httpx2.TransportError:
                return 0

    async def command(self, *arguments: str, **environ: str) -> str:
        """What a command answers; nobody asked it for contacts' data."""
        before = dict(self.shell.environ)
        self.shell.environ |= environ
        try:
            process = await self.shell.start(*arguments)
            out, err = (each.decode() for each in await asyncio.wait_for(process.communicate(), 60))
        finally:
            self.shell.environ = before
        clean(err if arguments[:2] in SHOWN else out + err)
        assert environ or "Traceback" not in out + err, err
        assert process.returncode in {0, 1, 2}
        return out

    @contextlib.asynccontextmanager
    async def sabotaged(self, table: str) -> AsyncIterator[None]:
        """The database refuses every row of a table, and quotes it."""
        await self.store.execute(f"ALTER TABLE {table} ADD CONSTRAINT sabotage CHECK (false) NOT VALID")
        try:
            yield
        finally:
            await self.store.execute(f"ALTER TABLE {table} DROP CONSTRAINT sabotage")


@contextlib.asynccontextmanager
async def story(dsn: str, folder: Path, level: str) -> AsyncIterator[Story]:
    async with contextlib.AsyncExitStack() as stack:
        boxes = [
            await stack.enter_async_context(StripeSandbox(key, hook, rng=random.Random(at)))
            for at, (key, hook) in enumerate(zip(KEYS, HOOKS, strict=True))
        ]
        boxes[0].dashboard.create(
            name="Canary Ada", email="ada@canary.example", phone=PHONE, metadata={"canary": "canary"}
        )
        urls = [await stack.enter_async_context(serve(box)) for box in boxes]
        with socket.create_server(("127.0.0.1", 0)) as free:
            listen = f"127.0.0.1:{free.getsockname()[1]}"
        for box, account, hook in zip(boxes, ("shop", "other"), HOOKS, strict=True):
            box.webhooks.endpoints.add(f"http://{listen}/hooks/{account}", secret=hook)
            box.webhooks.retries = (0.2,) * 200
        settings = {"CONTACTSYNC_LISTEN": listen, "CONTACTSYNC_LOG_LEVEL": level, "CONTACTSYNC_SECRET_KEY": SECRET_KEY}
        processes = await stack.enter_async_context(Processes(folder / "logs", dsn, "postgres:", **settings))
        secrets = dict(zip(("LEFT", "RIGHT", "HOOK_LEFT", "HOOK_RIGHT"), (*KEYS, *HOOKS), strict=True))
        shell = Shell(folder, {**settings, **secrets, "CONTACTSYNC_STORE_URL": dsn, "CONTACTSYNC_LOG_LEVEL": "info"})
        (folder / "connections.yaml").write_text(FILE.format(*urls))
        (folder / "broken.yaml").write_text(FILE.format(*urls).replace("left: shop", "lefd: shop"))
        process = await shell.start("apply", "connections.yaml")
        out, err = await process.communicate()
        assert process.returncode == 0, (out + err).decode()
        store = await stack.enter_async_context(Store.open(dsn, max_size=3))
        made = Story(boxes, f"http://{listen}", store, processes.role("all"), shell)
        await made.process.start()

        async def scanned() -> bool:
            assert made.process.running, made.process.words()
            return bool(await store.fetchval(_SCANNED) == 2)

        await until(scanned, 60, "both accounts are scanned")
        await made.arrived("Canary Ada")
        yield made


async def bad_deliveries(told: Story) -> None:
    event = {"id": "evt_canary", "object": "event", "type": "customer.updated", "created": int(time.time())}
    person = {"id": "cus_canary", "object": "customer", "email": "ada@canary.example", "phone": PHONE}
    whole = json.dumps(event | {"data": {"object": person}}).encode()
    assert await told.deliver(whole, secret="whsec_wrong_canary") == 400
    assert await told.deliver(whole[:-9]) == 400
    assert await told.deliver(json.dumps(event | {"data": {"object": person | {"id": 7}}}).encode()) == 400
    assert await told.deliver(json.dumps(event | {"data": "ada@canary.example"}).encode()) == 400
    assert await told.deliver(b"[" * 100_000 + b"canary") == 400
    assert await told.deliver(b"canary" * 300_000) in {413, 0}
    assert await told.deliver(whole, path="canary/../canary@canary.example?canary=1") in {400, 404}
    assert await told.deliver(whole, **{"content-type": "text/canary"}) == 415
    assert await told.deliver(whole, traceparent="canary", **{"x-canary": "canary" * 10_000}) in {431, 0}
    for words in (b"CANARY canary\r\n\r\n", b"POST /canary HTTP/1.1\r\ncanary canary\r\n\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(told.base.rpartition(":")[2]))
        writer.write(words)
        assert (await reader.read()).startswith(b"HTTP/1.1 400")
        writer.close()


async def bad_answers(told: Story) -> None:
    faults = told.right.faults
    for status, code in ((400, "email_invalid"), (402, None), (429, "rate_limit"), (500, None)):
        fault = faults.fail(status, CUSTOMERS, code=code, message=f"canary {PHONE} ada@canary.example {KEYS[1]}")
        name = told.changed()
        await until(lambda fault=fault: fault.hits, 60, f"{status} was answered")  # type: ignore[misc]
    faults.drop(CUSTOMERS)
    name = told.changed()
    await told.arrived(name)


async def a_refused_key(told: Story) -> None:
    """The last: nothing is written to that account any more."""
    refused = told.right.faults.fail(401, Where(times=None), message=f"Invalid API Key provided: {KEYS[1]}")
    told.left.dashboard.create(name="Canary Grace", email="grace@canary.example", phone=PHONE)
    await until(lambda: refused.hits, 60, "the key was refused")
    await told.logged("account_revoked")


async def poison(told: Story) -> None:
    before = await told.store.fetchval(_PARKED)
    body = json.dumps({"account": "shop", "contact_id": "canary", "email": "ada@canary.example"}).encode()
    async with PostgresLog.open(told.store) as log:
        await log.publish(
            EVENTS,
            [
                raw("contact.vanished", body),
                raw("contact.changed", body),
                raw("contact.changed", b"canary", v=99),
                raw("contact.touched", b"\xffcanary"),
            ],
        )

    async def parked() -> bool:
        return bool(await told.store.fetchval(_PARKED) >= before + 4)

    await until(parked, 60, "they are parked")


async def sabotage(told: Story) -> None:
    """The database's errors quote the row that they are about."""
    for table in ("connectors.ledger", "sync.outbox", "sync.contact", "sync.contact_address", "log.record"):
        parked = await told.store.fetchval(_PARKED)
        async with told.sabotaged(table):
            size = len(told.process.words())
            told.changed()

            async def noticed(size: int = size, parked: int = parked) -> bool:
                words = told.process.words()[size:]
                troubled = '"level": "warning"' in words or '"level": "error"' in words or not told.process.running
                return troubled or await told.store.fetchval(_PARKED) > parked

            await until(noticed, 60, f"{table} was noticed")
        if not told.process.running:
            await told.process.start()


async def commands(told: Story) -> None:
    listed = json.loads(await told.command("parked", "list", "--json"))
    for arguments in (
        *(("parked", "show", listed[0]["id"]), ("status",), ("doctor",), ("held", "list"), ("duplicates",)),
        *(("apply", "broken.yaml"), ("retry", "--all"), ("settle", "no-such", "--absent")),
    ):
        await told.command(*arguments, CONTACTSYNC_LOG_LEVEL="debug")
    dead = "postgresql://ada:canarypassword@127.0.0.1:1/canary"
    for environ in (
        {"CONTACTSYNC_STORE_URL": dead},
        {"CONTACTSYNC_STORE_URL": "postgresql://ada:canarypassword@[canary/x"},
        {"CONTACTSYNC_SECRET_KEY": "canary"},
        {"CONTACTSYNC_SECRET_KEY": "another canary of a key altogether"},
        {"LEFT": "canary with spaces"},
    ):
        await told.command("apply", "connections.yaml", **environ)


async def test_no_secret_and_nobodys_data_show_in_what_is_written(database: str, tmp_path: Path) -> None:
    async with story(database, tmp_path, "debug") as told:
        await bad_deliveries(told)
        await bad_answers(told)
        await poison(told)
        await sabotage(told)
        await told.process.kill()
        await told.process.start()
        await a_refused_key(told)
        await commands(told)
        await told.process.stop()
        words = told.process.log.read_text()
        assert len(words.splitlines()) > 10
        clean(words)
        assert "Traceback" not in words
