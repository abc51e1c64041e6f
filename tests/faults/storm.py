"""What goes wrong: does what the schedule says, when it says so, and counts what it did."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import httpx2

from services.connectors.google_contacts.sandbox.fault import Drop as GoogleDrop
from services.connectors.google_contacts.sandbox.fault import Fail as GoogleFail
from services.connectors.quickbooks.sandbox.fault import Drop as BooksDrop
from services.connectors.quickbooks.sandbox.fault import Fail as BooksFail
from services.connectors.stripe.sandbox import Where
from services.connectors.stripe.sandbox.fault import Fault as StripeFault
from services.runtime.log import EVENTS, RECEIPTS, LogUnavailableError, Message, commands_topic
from tests.faults.accounts import Books, Office, Shop
from tests.faults.house import House
from tests.faults.proxy import Mode
from tests.faults.rest import send_gathered
from tests.faults.roles import KILLED, Role
from tests.faults.schedule import Fault

_POINT_SECONDS = 20.0
_UP_SECONDS = 300
_POISON = (b"{", b'{"kind": "nothing of ours"}', b"\xff\x00", b"[]")
_TRIES = 8
_DROPS = 3


class Storm:
    """Makes things go wrong in a house. `counts` by fault, `told` what came of some."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.counts: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self.points: Counter[str] = Counter()
        """Kills by point; those that weren't passed in time were killed from outside."""
        self.poisoned = 0
        """Messages put into the log that nobody can read."""
        self.refused = 0
        """Poison deliveries that were answered 4xx."""
        self._broker = asyncio.Lock()
        self._ending: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._deeds: dict[str, Callable[[Fault], Awaitable[None]]] = {
            "kill": self._kill,
            "point": self._point,
            "stop": self._stop,
            "broker": self._kill_broker,
            "postgres": self._kill_postgres,
            "wire": self._tamper,
            "throttled": self._sick,
            "broken": self._sick,
            "dropped": self._sick,
            "duplicates": self._duplicated,
            "gap": self._gap,
            "poison_webhook": self._poison_webhook,
            "poison_message": self._poison_message,
            "expired": self._expired,
            "access_expired": self._access_expired,
            "revoked": self._revoked,
        }

    async def run(self, faults: Sequence[Fault], begun: float) -> None:
        """Do each at its time after `begun` (the loop's time); return when all are over."""
        loop = asyncio.get_running_loop()
        gathering = asyncio.create_task(self._gather())
        try:
            async with asyncio.TaskGroup() as group:
                for fault in faults:
                    if (rest := begun + fault.at - loop.time()) > 0:
                        await asyncio.sleep(rest)
                    group.create_task(self._one(fault), name=f"{fault.kind} {fault.where}")
        finally:
            gathering.cancel()
        for proxy in self._house.proxies.values():
            proxy.mode = "pass"

    async def _one(self, fault: Fault) -> None:
        await self._deeds[fault.kind](fault)
        name = f"wire {fault.where} {fault.more}" if fault.kind == "wire" else fault.kind
        self.counts[name] += 1
        self.seconds[name] += round(fault.seconds)

    async def _up(self, name: str) -> Role:
        role = self._house.roles[name]
        async with asyncio.timeout(_UP_SECONDS):
            while role.stopped or not role.up.is_set():
                await role.up.wait()
                await asyncio.sleep(0.05)
        return role

    async def _kill(self, fault: Fault) -> None:
        await self._ended(fault.where, Role.kill)

    async def _stop(self, fault: Fault) -> None:
        await (await self._up(fault.where)).stand_still(fault.seconds)

    async def _point(self, fault: Fault) -> None:
        """Have the process kill itself at the point; where it doesn't come by, it is killed all the same."""

        async def burn(role: Role) -> None:
            process = role._process
            assert process is not None
            role.arm(fault.more)
            point = fault.more.partition(":")[0]
            try:
                async with asyncio.timeout(_POINT_SECONDS):
                    await process.wait()
                self.points[f"{fault.where.partition('-')[0]} {point}"] += 1
            except TimeoutError:
                await role.kill()
                self.points["not passed in time"] += 1

        await self._ended(fault.where, burn)

    async def _ended(self, name: str, how: Callable[[Role], Awaitable[None]]) -> None:
        """End a process by SIGKILL, one at a time; once more where it came to an end of its own meanwhile."""
        async with self._ending[name]:
            while True:
                role = await self._up(name)
                process = role._process
                await how(role)
                if process is not None and process.returncode == KILLED:
                    return

    async def _kill_postgres(self, fault: Fault) -> None:
        os.kill(self._house.postgres.pid, signal.SIGKILL)

    async def _expired(self, fault: Fault) -> None:
        self._office(fault).sandbox.feed.expire_tokens()

    async def _access_expired(self, fault: Fault) -> None:
        account = self._house.accounts[fault.where]
        assert isinstance(account, Office | Books)
        account.sandbox.oauth.expire_access()

    async def _kill_broker(self, fault: Fault) -> None:
        async with self._broker:
            (node,) = self._house.cluster.nodes
            await node.kill()
            await asyncio.sleep(fault.seconds)
            await node.start()

    async def _tamper(self, fault: Fault) -> None:
        proxy = self._house.proxies.get(fault.where)
        if proxy is None:
            return
        proxy.delay = min(0.5, fault.seconds / 10)
        proxy.mode = cast("Mode", fault.more)
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            proxy.mode = "pass"

    async def _sick(self, fault: Fault) -> None:
        """An account answers 429 or 5xx to everything, or loses every third answer to a change that it made."""
        account = self._house.accounts[fault.where]
        lost = fault.kind == "dropped"
        match account:
            case Shop():
                made: Any = _stripe_fault(account, fault.kind)
            case Office():
                effect = _google_fault(fault.kind)
                made = account.sandbox.faults.add(
                    effect, "P*" if lost else "*", "/v1/*", times=_DROPS if lost else None
                )
            case Books():
                wrong = _books_fault(fault.kind)
                path = "/v3/company/*/customer" if lost else "/v3/*"
                made = account.sandbox.faults.add(wrong, "POST" if lost else "*", path, times=_DROPS if lost else None)
            case _:
                raise TypeError(account)
        script: list[Any] = account.sandbox.faults._script
        await asyncio.sleep(fault.seconds)
        with contextlib.suppress(ValueError):
            script.remove(made)

    async def _duplicated(self, fault: Fault) -> None:
        hooks = self._shop(fault).sandbox.webhooks
        hooks.copies, hooks.disorder = 3, 2.0
        await asyncio.sleep(fault.seconds)
        hooks.copies, hooks.disorder = 1, 0.0

    async def _gap(self, fault: Fault) -> None:
        """Nothing is delivered for a while, and nothing of that comes later."""
        hooks = self._shop(fault).sandbox.webhooks
        hooks.hold()
        await asyncio.sleep(fault.seconds)
        self.counts["webhooks lost in gaps"] += hooks.discard()
        hooks.release()

    async def _poison_webhook(self, fault: Fault) -> None:
        body = _POISON[int(fault.more) % len(_POISON)]
        now = int(time.time())
        secret = f"whsec_{fault.where}".encode()
        signature = hmac.new(secret, b"%d.%s" % (now, body), hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "stripe-signature": f"t={now},v1={signature}"}
        async with httpx2.AsyncClient(trust_env=False, timeout=10) as client:
            with contextlib.suppress(httpx2.HTTPError):
                url = f"http://127.0.0.1:{self._house.ports[0]}/hooks/{fault.where}"
                answer = await client.post(url, content=body, headers=headers)
                self.refused += 400 <= answer.status_code < 500

    async def _poison_message(self, fault: Fault) -> None:
        """Something nobody can read, in the midst of the log."""
        number = int(fault.more)
        topic = (EVENTS, RECEIPTS, commands_topic("stripe"))[number % 3]
        headers = {"ce_id": "x", "ce_type": "contact.changed", "ce_source": "x", "ce_v": "1", "ce_subject": ""}
        headers["ce_time"] = "2026-01-01T00:00:00+00:00"
        rows = tuple((name, value.encode()) for name, value in headers.items()) if number % 2 else ()
        message = Message(key=f"poison {self.poisoned}".encode(), headers=rows, value=_POISON[number % len(_POISON)])
        for _ in range(_TRIES):
            try:
                await self._house.log.publish(topic, [message])
            except LogUnavailableError:
                await asyncio.sleep(2)
                continue
            self.poisoned += 1
            return

    async def _revoked(self, fault: Fault) -> None:
        """Nobody may use the credentials any more, until a person brings new ones."""
        house, name = self._house, fault.where
        account = house.accounts[name]
        if isinstance(account, Shop):
            account.sandbox.api_keys.discard(house.secrets[name])
        else:
            self._office(fault).sandbox.oauth.revoke(house.secrets[name])
        await asyncio.sleep(fault.seconds)
        if isinstance(account, Shop):
            house.secrets[name] += "x"
            account.sandbox.api_keys.add(house.secrets[name])
        else:
            house.secrets[name] = self._office(fault).sandbox.oauth.grant("first")
        await self._apply()

    async def _apply(self) -> None:
        for at in range(_TRIES):
            try:
                await self._house.apply()
            except (AssertionError, TimeoutError):
                if at == _TRIES - 1:
                    raise
                await asyncio.sleep(2)
            else:
                return

    async def _gather(self) -> None:
        """QuickBooks delivers what it gathered, every second."""
        while True:
            await asyncio.sleep(1)
            await send_gathered(self._house)

    def _shop(self, fault: Fault) -> Shop:
        account = self._house.accounts[fault.where]
        assert isinstance(account, Shop)
        return account

    def _office(self, fault: Fault) -> Office:
        account = self._house.accounts[fault.where]
        assert isinstance(account, Office)
        return account


def _stripe_fault(shop: Shop, kind: str) -> StripeFault:
    faults = shop.sandbox.faults
    match kind:
        case "throttled":
            return faults.rate_limit(Where(times=None), retry_after=1)
        case "broken":
            return faults.broken(Where(times=None, chance=0.8), stage="after")
        case _:
            return faults.drop(Where("POST", "/v1/customers*", times=None, chance=0.3))


def _google_fault(kind: str) -> GoogleDrop | GoogleFail:
    match kind:
        case "throttled":
            body = b'{"error":{"code":429,"message":"Slow down.","status":"RESOURCE_EXHAUSTED"}}'
            return GoogleFail(429, body, headers={"Retry-After": "1"})
        case "broken":
            return GoogleFail(503, b'{"error":{"code":503,"message":"Away.","status":"UNAVAILABLE"}}')
        case _:
            return GoogleDrop(executed=True)


def _books_fault(kind: str) -> BooksDrop | BooksFail:
    match kind:
        case "throttled":
            body = {"Fault": {"Error": [{"Message": "", "Detail": "", "code": "3001"}], "type": "THROTTLE"}}
            return BooksFail(429, json.dumps(body).encode())
        case "broken":
            return BooksFail(503)
        case _:
            return BooksDrop(executed=True)
