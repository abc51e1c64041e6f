"""What a person may say about links: approve or reject what is held."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec
from msgspec.structs import replace

from services.contracts.app import Manifest
from services.contracts.contact import SIDES, Side
from services.contracts.envelope import derived
from services.runtime.store import Connection as Database
from services.runtime.store import Store
from services.sync.core.brake import lock_of
from services.sync.core.mapping import normal_view, observed
from services.sync.core.slice import Slice
from services.sync.core.state import Base, Decision, Link, Window
from services.sync.core.step import step
from services.sync.hand.word import seeds, spoken
from services.sync.journal import keep_given
from services.sync.load import present
from services.sync.replay.inputs import Given, Opened

_HELD = """
SELECT id::text, connection, left_id, right_id, state FROM sync.link WHERE holds > 0 AND status <> 'ended' ORDER BY seq
"""
_SUSPECTS = """
SELECT account, scan, count(*) AS count, min(since) AS since FROM sync.suspect WHERE held GROUP BY account, scan
 ORDER BY account, scan
"""
_WINDOWS = """
SELECT w.connection, w.opened, w.count, w.active, count(l.id) AS waiting FROM sync.deletion_window w
  JOIN sync.link l ON l.connection = w.connection AND l.wait_reason = 'deletions' AND l.reconsider_at IS NULL
       AND (l.state->>'counted')::bigint = w.opened
 WHERE w.said IS NULL GROUP BY w.connection, w.opened ORDER BY w.opened
"""
_SAY = """
UPDATE sync.deletion_window SET said = $3 WHERE connection = $1 AND opened = $2 AND said IS NULL
RETURNING connection, opened, active, count, said
"""
_LOCK = "SELECT FROM sync.address WHERE address = $1 FOR UPDATE"
_WAKE = "INSERT INTO sync.wake (link) SELECT id FROM sync.link WHERE wait_reason = 'deletions' AND wait_on = $1"
_OFTEN = "often"
_ASK = "UPDATE sync.suspect SET held = false WHERE account = $1 AND scan = $2 AND held"
_DISMISS = "DELETE FROM sync.suspect WHERE account = $1 AND scan = $2 AND held"

_links = msgspec.json.Decoder(Link)


class HeldChange(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that waits for a person's yes."""

    id: str
    """What `held approve` and `held reject` take."""
    kind: Literal["field", "deletions", "window", "often"]
    """A value; contacts that a scan no longer shows; many deletions at once (E6); a contact written too often (F3)."""
    connection: str
    """The connection, or the account for suspected deletions."""
    account: str
    contact: str
    """The contact that would be written; empty for suspected deletions."""
    line: str
    value: str
    """What would be written, in comparable form; for suspected deletions how many."""
    since: datetime


async def held(database: Database) -> Sequence[HeldChange]:
    """Return everything that waits for a person, oldest link first."""
    found: list[HeldChange] = []
    accounts = {row["name"]: row["body"] for row in await database.fetch("SELECT name, body FROM registry.connection")}
    for row in await database.fetch(_HELD):
        link = _links.decode(row["state"])
        pair = msgspec.json.decode(accounts[link.connection], type=dict[str, msgspec.Raw])
        for side in SIDES:
            stopped = link.half(side).stopped
            if stopped is not None:
                found.append(
                    HeldChange(
                        id=hold_id(link.id, side, _OFTEN),
                        kind="often",
                        connection=link.connection,
                        account=msgspec.json.decode(pair[side], type=str),
                        contact=link.half(side).contact_id or "",
                        line="",
                        value=str(len(link.half(side).written)),
                        since=datetime.fromtimestamp(stopped / 1_000_000).astimezone(),
                    )
                )
            for line, hold in link.half(side).held.items():
                if not hold.approved:
                    found.append(
                        HeldChange(
                            id=hold_id(link.id, side, line),
                            kind="field",
                            connection=link.connection,
                            account=msgspec.json.decode(pair[side], type=str),
                            contact=link.half(side).contact_id or "",
                            line=line,
                            value=hold.value,
                            since=datetime.fromtimestamp(hold.since / 1_000_000).astimezone(),
                        )
                    )
    found += [
        HeldChange(
            id=f"scan-{row['account']}-{row['scan']}",
            kind="deletions",
            connection="",
            account=row["account"],
            contact="",
            line="",
            value=str(row["count"]),
            since=row["since"],
        )
        for row in await database.fetch(_SUSPECTS)
    ]
    found += [
        HeldChange(
            id=f"deletions-{row['connection']}-{row['opened']}",
            kind="window",
            connection=row["connection"],
            account="",
            contact="",
            line="",
            value=f"{row['waiting']} of {row['count']}",
            since=datetime.fromtimestamp(row["opened"] / 1_000_000).astimezone(),
        )
        for row in await database.fetch(_WINDOWS)
    ]
    return found


def hold_id(link: str, side: Side, line: str) -> str:
    """Return a short, lasting id of a held value."""
    return derived("hold", link, side, line)[:8]


async def approve(store: Store, manifests: Mapping[str, Manifest], change: HeldChange) -> bool:
    """Let the held change go; False if it no longer waits. `manifests` is by app."""
    return await _say(store, manifests, change, approved=True)


async def reject(store: Store, manifests: Mapping[str, Manifest], change: HeldChange) -> bool:
    """Drop the held change: both sides count as agreed on what each has now (P3); False if it no longer waits."""
    return await _say(store, manifests, change, approved=False)


async def _say(store: Store, manifests: Mapping[str, Manifest], change: HeldChange, *, approved: bool) -> bool:
    if change.kind == "deletions":
        scan = int(change.id.rpartition("-")[2])
        return await store.execute(_ASK if approved else _DISMISS, change.account, scan) not in ("UPDATE 0", "DELETE 0")
    if change.kind == "window":
        return await _say_of_window(store, change, approved=approved)
    done = False
    for row in await store.fetch(_HELD):
        link = _links.decode(row["state"])
        for side in SIDES:
            if hold_id(link.id, side, _OFTEN) == change.id:
                done = await _decide(store, manifests, link.id, side, _OFTEN, change, approved=approved)
            for line in link.half(side).held:
                if hold_id(link.id, side, line) == change.id:
                    done = await _decide(store, manifests, link.id, side, line, change, approved=approved)
    return done


async def _say_of_window(store: Store, change: HeldChange, *, approved: bool) -> bool:
    async def work(database: Database) -> bool:
        opened = int(change.id.rpartition("-")[2])
        # Under the lock that the counting is done under: either a count comes before this word, or after it.
        await database.fetch(_LOCK, lock_of(change.connection))
        row = await database.fetchrow(_SAY, change.connection, opened, approved)
        if row is None:
            return False
        await database.execute(_WAKE, change.connection)
        said = Given(rows=(Opened(window=Window(**row)),))
        await keep_given(database, await present(database), said)
        return True

    return await store.retrying(work)


async def _decide(
    store: Store,
    manifests: Mapping[str, Manifest],
    link_id: str,
    side: Side,
    line: str,
    change: HeldChange,
    *,
    approved: bool,
) -> bool:
    def word(state: Slice) -> bool:
        if not _say_to(state, link_id, side, line, change, approved=approved):
            return False
        state.decisions.append(_person(state.links[link_id], line, approved=approved))
        step(state, link_id)
        return True

    return await spoken(store, manifests, seeds(links=(link_id,)), change.id, word)


def _person(link: Link, line: str, *, approved: bool) -> Decision:
    return Decision(
        link=link.id,
        connection=link.connection,
        config_version=link.config_version,
        outcome="approved" if approved else "rejected",
        reason="a person approved the held value" if approved else "a person rejected the held value",
        lines=(line,),
    )


def _say_to(state: Slice, link_id: str, side: Side, line_id: str, change: HeldChange, *, approved: bool) -> bool:
    link = state.links[link_id]
    config = state.configs[link.connection]
    half = link.half(side)
    if line_id == _OFTEN:
        if half.stopped is None or not approved:
            return False
        state.put_link(link.with_half(side, replace(half, stopped=None, written=())))
        return True
    hold = half.held.get(line_id)
    if hold is None or hold.approved or hold.value != change.value:
        return False
    if approved:
        half = replace(half, held={**half.held, line_id: replace(hold, approved=True)})
        state.put_link(link.with_half(side, half))
        return True
    line = next((line for line in config.lines if line.id == line_id), None)
    left = state.record(config, "left", link.left)
    right = state.record(config, "right", link.right)
    if line is None or left is None or right is None or left.contact is None or right.contact is None:
        return False
    base = Base(
        normal_view(observed(left.contact, line, "left"), line, "left"),
        normal_view(observed(right.contact, line, "right"), line, "right"),
    )
    half = replace(half, held={key: kept for key, kept in half.held.items() if key != line_id})
    state.put_link(replace(link.with_half(side, half), base={**link.base, line_id: base}))
    return True
