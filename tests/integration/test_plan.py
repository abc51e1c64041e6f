"""G3: a plan tells what applying would do, before it is done; and does nothing itself."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from services.contracts.connection import Connection, MappingLine
from services.contracts.contact import Fields, PersonName
from services.contracts.rule import FieldIs, Rule, SetTag
from services.runtime.store import Store
from services.sync.plan.would import PlanId
from tests.integration.plan_rig import Apps, done, plan, promised
from tests.integration.sync_messages import shop
from tests.integration.sync_rig import PAIR, rig

PEOPLE = 12
MISTAKE = replace(
    PAIR,
    mappings=(
        MappingLine(default="note", enabled=False),
        MappingLine(left="phone", right="note", direction="left_to_right"),
    ),
)
"""Every telephone number becomes a note."""
ONLY = FieldIs(path="name", operator="starts_with", values=("Person 1",))
CHOSEN = replace(PAIR, rules=(Rule(source="left", conditions=(ONLY,), actions=(SetTag(name="VIP"),), undo=True),))
SECOND = Connection(name="second-pair", left="shop", right="annex")


async def inhabited(apps: Apps) -> None:
    """Twelve customers in step with the office; one of the annex's cards is somebody known."""
    await apps.people(
        "shop",
        *((f"c{n}", shop(f"Person {n}", f"p{n}@example.com", phone=f"+1 202 555 01{n:02}")) for n in range(PEOPLE)),
    )
    await apps.rest()
    card: Fields = {"n": (PersonName(given="Person", family="3"),), "email": ("p3@example.com",), "tel": ()}
    await apps.people("annex", ("card", card), ("other", {**card, "email": ("other@example.com",)}))
    await apps.rest()


async def test_g3_a_plan_is_what_is_written_then_contact_by_contact(store: Store) -> None:
    async with rig(store) as made:
        apps = await Apps.of(made)
        await inhabited(apps)
        for connections in (
            (MISTAKE,),
            (CHOSEN,),
            (CHOSEN, SECOND),
            (PAIR, replace(SECOND, direction="left_to_right")),
        ):
            before = await made.content()
            _, planned = await plan(made, *connections)
            assert await made.content() == before
            for connection in connections:
                if connection not in await in_force(made.store):
                    await made.connect(connection)
            written = await apps.rest()
            assert written, connections
            assert done(written) == promised(planned), connections


async def in_force(store: Store) -> list[Connection]:
    rows = await store.fetch("SELECT body FROM registry.connection")
    return [msgspec.json.decode(row["body"], type=Connection) for row in rows]


async def test_g3_counts_fields_and_limits_are_told(store: Store) -> None:
    async with rig(store) as made:
        apps = await Apps.of(made)
        await inhabited(apps)
        id, planned = await plan(made, MISTAKE)
        assert planned.counts() == {"pair": {"update": PEOPLE}}
        update = next(each for each in planned.would if each.who == "p3@example.com")
        assert [(change.field, change.before, change.after) for change in update.changes] == [
            ("note", (), ("+1 202 555 0103",))
        ]
        assert planned.touched() == {"office": PEOPLE}
        assert planned.over(20, 500) == (
            f"{PEOPLE} of {PEOPLE} contacts in office would be overwritten or tagged: 100 %, the limit is 20 %.",
        )
        assert len(planned.over(100, PEOPLE - 1)) == 1
        assert not planned.over(100, PEOPLE)
        assert PlanId.read(str(id)) == id
        again, _ = await plan(made, MISTAKE)
        assert again == id
        await apps.people("shop", ("c1", shop("Person 1", "p1@example.com", phone="+1 202 555 0199")))
        await apps.rest()
        later, _ = await plan(made, MISTAKE)
        (sentence,) = id.stale(later)
        assert "isn't the same any more" in sentence
        _, chosen = await plan(made, CHOSEN)
        assert chosen.counts()["pair"] == {"tag": 3, "exclude": PEOPLE - 3}
        _, second = await plan(made, PAIR, SECOND)
        assert second.counts()["second-pair"]["link"] == 1
        assert second.counts()["second-pair"]["create"] > 1
        assert second.touched() == {"annex": 1}  # what would be made there isn't overwritten
        _, removed = await plan(made)
        assert removed.ends == {"pair": PEOPLE}
        assert not removed.would
