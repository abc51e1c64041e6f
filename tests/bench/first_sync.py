"""B7: the first sync of an account into an empty one, beside the time that the quotas alone would take."""

from __future__ import annotations

from services.connectors import discover
from services.connectors.stripe.sandbox import StripeSandbox
from tests.bench.place import Bench, BrokenError
from tests.bench.row import Measured, Row, Run, Target
from tests.end_to_end.two_stripes import House, alike, house

CONTACTS, QUICK_CONTACTS = 1_000, 30
_PER_CONTACT = 5.0
"""Seconds after which a first sync is broken, for each contact."""
_SECONDS = 30.0
_BEGAN = "SELECT applied_at FROM registry.config ORDER BY version LIMIT 1"
_SETTLED = "SELECT max(updated_at) FROM sync.link WHERE status = 'active' AND unsettled = 0"
_FINDS = "/v1/customers"
CAUSE = (
    "a second or two go by from `apply` to the first search, while the accounts are read, which weighs in a short run"
)


async def rows(bench: Bench) -> list[Row]:
    """One row: the seconds from `apply` to the last create's receipt."""
    contacts, count = (QUICK_CONTACTS, 1) if bench.quick else (CONTACTS, bench.runs)
    ours, limits, asked = [], [], ""
    for number in range(count):
        run, limit, asked = await _first(bench, number, contacts)
        ours.append(run)
        limits.append(limit)
    pace = discover()["stripe"].manifest.pace
    return [
        Row(
            id="B7",
            workload=f"first sync of {contacts:,} contacts of one Stripe account into another, empty one",
            unit="s",
            ours=Measured(name="contactsync", runs=tuple(ours)),
            limit=Measured(name="the slowest quota alone, of the share configured", runs=tuple(limits)),
            target=Target(most=1.1),
            cause=CAUSE,
            notes=(
                f"from `apply` to the last create's receipt, at {pace.read:g} reads and {pace.write:g} writes a second",
                asked,
                f"100,000 contacts take {100_000 / min(pace.read, pace.write) / 3600:.1f} h at that pace",
            ),
        )
    ]


async def _first(bench: Bench, number: int, contacts: int) -> tuple[Run, Run, str]:
    def seed(left: StripeSandbox, right: StripeSandbox) -> None:
        left.webhooks.hold()
        for person in range(contacts):
            left.dashboard.create(email=f"p{person}@example.com", name=f"Ada Nr{person}")
        left.webhooks.discard()
        left.webhooks.release()

    folder = bench.folder / f"first-{number}"
    async with bench.database() as dsn, house(dsn, folder, options="{most_writes: 0}", seed=seed) as home:
        await home.until(lambda: len(home.right.customers) >= contacts, _PER_CONTACT * contacts + _SECONDS)
        await home.rest(_SECONDS)
        if not alike(home):
            raise BrokenError("the first sync isn't whole")
        return await _figures(home, contacts)


async def _figures(home: House, contacts: int) -> tuple[Run, Run, str]:
    pace = discover()["stripe"].manifest.pace
    store = home.installation.store
    took = (await store.fetchval(_SETTLED) - await store.fetchval(_BEGAN)).total_seconds()
    creates = len(home.right.requests.to("POST", _FINDS))
    finds = sum("email" in each.params for each in home.right.requests.to("GET", _FINDS))
    looks = len(home.right.requests.to("GET", f"{_FINDS}/*"))
    # What a perfect client would need: a search and a create for each (C1), both endpoints at once.
    least = max(contacts / pace.write, min(finds, contacts) / pace.read)
    return Run(took), Run(least), f"{creates:,} creates, {finds:,} searches, {looks:,} looks"
