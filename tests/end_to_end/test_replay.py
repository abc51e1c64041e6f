"""An audit of what a whole installation did between two Stripe accounts: no difference, and nobody is asked (G5)."""

from __future__ import annotations

import asyncio
from pathlib import Path

from services.connectors.stripe.sandbox import StripeSandbox
from services.runtime.store import Store
from services.sync import control
from services.sync.replay import checkpoint
from services.sync.replay.run import TOPICS, Audited, run
from tests.end_to_end.two_stripes import House, house, live


def seeded(left: StripeSandbox, right: StripeSandbox) -> None:
    """People on both sides before anybody looks: some known to both, some twice on one side."""
    for number in range(12):
        left.dashboard.create(name=f"P {number}", email=f"p{number}@example.com")
        if number % 2:
            right.dashboard.create(name=f"P {number}", email=f"P{number}@Example.com", phone="+12025550100")
        if number % 5 == 0:
            left.dashboard.create(name=f"Twin {number}", email=f"p{number}@example.com")


async def live_through(home: House) -> None:
    """Edits of both sides at once, a held address, deletions."""
    await home.rest()
    for turn in range(3):
        for at, body in enumerate(live(home.left)[:8]):
            home.left.dashboard.update(body["id"], name=f"Name {turn}-{at}")
        for at, body in enumerate(live(home.right)[:8]):
            home.right.dashboard.update(body["id"], name=f"Nome {turn}-{at}", description=f"turn {turn}")
        await asyncio.sleep(0)
    await home.rest()
    home.right.dashboard.update(live(home.right)[0]["id"], email="changed@example.com")
    await home.rest()
    manifests = {name: app.manifest for name, app in home.installation.apps.items()}
    async with home.installation.store.transaction() as database:
        held = await control.held(database)
    for change in held:
        await control.approve(home.installation.store, manifests, change)
    await home.rest()
    home.left.dashboard.delete(live(home.left)[3]["id"])
    home.right.dashboard.delete(live(home.right)[5]["id"])
    await home.rest()


async def audited(home: House, start: Path | None = None) -> Audited:
    log = home.installation.log
    bounds = {place: span for topic in TOPICS for place, span in (await log.bounds(topic)).items()}
    manifests = {name: app.manifest for name, app in home.installation.apps.items()}
    begin = None if start is None else checkpoint.read(start)
    async with Store.open(home.installation.store.dsn, max_size=2) as store:
        return await run(store, log.read, bounds, manifests, start=begin)


async def test_p17_an_audit_of_a_real_story_finds_nothing_and_asks_nobody(database: str, tmp_path: Path) -> None:
    async with house(database, tmp_path, seed=seeded) as home:
        await live_through(home)
        home.forget()
        done = await audited(home)
        assert done.whole
        assert [each.told() for each in done.audit.differences] == []
        assert (done.audit.clean, done.audit.writes) == (True, 0)
        assert done.audit.messages > 80
        assert [home.writes(each) for each in home.both] == [[], []]
        asked = [request for each in home.both for request in each.requests if request.method != "GET"]
        assert asked == []

        path = tmp_path / "checkpoint"
        async with home.installation.store.transaction("repeatable_read", readonly=True) as transaction:
            await checkpoint.take(transaction, path)
        home.left.dashboard.create(name="Zoe", email="zoe@example.com")
        await home.rest()
        rest = await audited(home, path)
        assert [each.told() for each in rest.audit.differences] == []
        assert 0 < rest.audit.transactions < done.audit.transactions
