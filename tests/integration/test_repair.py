"""What should be is worked out from what is last known, and only what is missing is sent (G5, P17)."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from services.contracts.commands import Look, Update
from services.contracts.contact import PersonName
from services.runtime.store import Store
from services.sync.core.state import Base, Link
from services.sync.repair import mend
from services.sync.repair.missing import Chosen, Missing, missing
from tests.core.bench import tel
from tests.integration.obedient import Apps
from tests.integration.sync_messages import of, writes
from tests.integration.sync_rig import MANIFESTS, Rig
from tests.integration.test_revert import pairs, plain

ALL = Chosen(connections=("pair",))


async def found(made: Rig, chosen: Chosen = ALL) -> list[Missing]:
    return [each async for _, some in missing(made.store, MANIFESTS, chosen) for each in some]


async def tampered(made: Rig, link: Link) -> None:
    """Somebody changes what both sides last agreed on, behind sync's back."""
    base = {**link.base, "phone": Base(link.base["phone"].left, "+15550000000")}
    changed = replace(link, base={**base, "phone": Base("+15550000000", link.base["phone"].right)})
    await made.store.execute(
        "UPDATE sync.link SET state = $2 WHERE id = $1", link.id, msgspec.json.encode(changed).decode()
    )
    # What is known of the office's contact is what it then holds: the sides differ, and nobody is told.
    await made.store.execute(
        "UPDATE sync.contact SET state = replace(state::text, '555010', '555099')::json WHERE contact_id = $1",
        link.right.contact_id,
    )


async def mended(made: Rig, beside: Apps, links: list[str]) -> tuple[int, int]:
    async with beside.working():
        return await mend.send(made.store, links)


async def test_g5_repair_sends_only_what_is_missing_and_a_second_one_finds_nothing(store: Store) -> None:
    async with pairs(store, 3) as (made, beside):
        assert await found(made) == []
        link = next(link for link in await made.links() if link.left.contact_id == "cus1")
        await tampered(made, link)
        before = await made.counts()
        (one,) = await found(made)
        assert (one.link, one.left, one.right) == (link.id, "cus1", "card1")
        (command,) = one.commands
        assert (command.kind, command.account, [each.field for each in command.changes]) == (
            "update",
            "office",
            ["tel"],
        )
        assert await made.counts() == before  # looking writes nothing
        assert await found(made, Chosen(connections=("pair",), links=("00000000-0000-0000-0000-000000000000",))) == []
        asked = len(beside.asked)
        assert await mended(made, beside, [one.link]) == (1, 0)
        await beside.rest()
        (update,) = writes(beside.asked[asked:])
        assert isinstance(update, Update)
        assert (update.contact_id, plain(beside.held["office", "card1"].fields["tel"])) == ("card1", tel("01"))
        assert await found(made) == []


async def test_g5_repair_reads_anew_what_was_edited_behind_our_back(store: Store) -> None:
    async with pairs(store, 2) as (made, beside):
        # The app told nobody of this edit.
        card = beside.held["office", "card0"]
        name = PersonName(given="Eve", family="King")
        beside.held["office", "card0"] = replace(card, fields={**card.fields, "n": (name,)})
        assert await found(made) == []
        before = len(beside.asked)
        async with beside.working():
            assert await mend.read_anew(made.store, MANIFESTS, ALL) == 0
        await beside.rest()
        asked = beside.asked[before:]
        assert sorted(look.contact_id for look in of(asked, Look)) == ["card0", "card1", "cus0", "cus1"]
        (update,) = writes(asked)
        assert (update.aim.account, beside.held["shop", "cus0"].fields["name"]) == ("shop", ("Eve King",))
        assert await found(made) == []
