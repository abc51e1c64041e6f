"""Stripe's own reader under the pollers: a first scan while webhooks arrive, then a webhook that was lost."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import httpx2

from services.connectors.stripe.app import Stripe
from services.connectors.stripe.sandbox import StripeSandbox
from services.contracts.events import ContactChanged, ScanFinished
from services.ingest.poll import Pollers, Timing
from services.ingest.publish import Publisher
from services.ingest.registry import Registered
from services.runtime.app import Access
from services.runtime.clock import SystemClock
from services.runtime.metrics import Metrics
from services.runtime.store import Store
from tests.integration.hooks_rig import SECRET, Rig
from tests.integration.ingest_rig import PARTITIONS, Found, accounts, connect, open_log, records, register


async def test_a_shop_is_scanned_while_webhooks_arrive_and_a_lost_webhook_is_found(
    store: Store, eventually: Callable[..., Awaitable[None]]
) -> None:
    settings = {"api_base": "http://stripe.test", "poll_seconds": "0.05"}
    secrets = {"api_key": ["sk_test_sandbox"], "webhook_secrets": [SECRET]}
    await register(store, "shop", "stripe", settings=settings, credentials=secrets)
    await register(store, "office", "elsewhere")
    await connect(store, "shop", "office")
    stop = asyncio.Event()

    async def about(contact_id: str, origin: str) -> list[Found]:
        return [
            found
            for found in await records(store)
            if isinstance(found.message, ContactChanged)
            and (found.message.contact_id, found.message.origin) == (contact_id, origin)
        ]

    async with (
        open_log(store) as log,
        StripeSandbox(rng=random.Random(3)) as box,
        Rig(store, log).http as hooks,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=box.app)) as http,
    ):
        ids = {str(box.dashboard.create(email=f"c{n}@example.org")["id"]) for n in range(130)}
        box.webhooks.endpoints.add("http://ingest.test/hooks/shop", secret=SECRET, transport=hooks._transport)

        def access(registered: Registered) -> Access:
            return Access(
                account=registered.account.name,
                settings=registered.account.settings,
                credentials=registered.credentials,
                http=http,
                clock=SystemClock(),
            )

        pollers = Pollers(
            store,
            accounts(store),
            {"stripe": Stripe()},
            access,
            Publisher(log),
            Metrics(),
            holder="here",
            timing=Timing(watch=0.05),
        )
        running = asyncio.create_task(pollers.run(stop))
        edited = min(ids)
        box.dashboard.update(edited, name="Ada")
        await box.webhooks.drain()
        assert len(await about(edited, "webhook")) == 1

        async def live() -> bool:
            return bool(await store.fetchval("SELECT state = 'live' FROM ingest.cursor WHERE account = 'shop'"))

        await eventually(live, seconds=20.0)
        box.webhooks.hold()
        lost = str(box.dashboard.create(email="lost@example.org")["id"])
        assert box.webhooks.discard() == 1

        async def found() -> bool:
            return bool(await about(lost, "feed")) and bool(await about(edited, "feed"))

        await eventually(found, seconds=20.0)
        stop.set()
        await running
    everything = await records(store)
    scans = [one for one in everything if isinstance(one.message, ContactChanged) and one.message.scan == 1]
    assert {one.envelope.subject for one in scans} == ids
    assert max(Counter(one.envelope.id for one in scans).values()) == 1
    ends = [one.message for one in everything if isinstance(one.message, ScanFinished)]
    assert [end.count for end in ends] == [130] * PARTITIONS
    # What came by webhook and was listed again is one event to sync: both carry the app's own id.
    (webhook,) = await about(edited, "webhook")
    assert webhook.envelope.id.startswith("stripe:evt_")
    assert webhook.envelope.id in {one.envelope.id for one in await about(edited, "feed")}
