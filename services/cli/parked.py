"""`parked`: messages that were set aside, to be looked at, put back or dropped."""

from __future__ import annotations

from types import ModuleType

import msgspec

from services.cli.database import opened
from services.cli.failure import Failure
from services.cli.output import age, say, table, visible
from services.connectors import parked as of_connectors
from services.runtime.settings import load
from services.runtime.store import Connection, Record
from services.sync.hand import parked as of_sync

_OWNERS: dict[str, ModuleType] = {"sync": of_sync, "connectors": of_connectors}
"""Who set a message aside, as its id begins."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is set aside."""

    id: str
    topic: str
    partition: int
    offset: int
    type: str
    """What its header says; empty without one."""
    reason: str
    size: int
    """Bytes of its body."""
    at: str


async def show_all(*, as_json: bool) -> int:
    """List what is set aside, with the reason and the place it came from."""
    async with opened(load()) as store, store.transaction("repeatable_read", readonly=True) as database:
        now = await database.fetchval("SELECT now()")
        found = [(_message(owner, row), row["at"]) for owner, row in await _rows(database)]
    if as_json:
        say(msgspec.json.format(msgspec.json.encode([message for message, _ in found]), indent=2).decode())
        return 0
    if not found:
        say("Nothing is set aside.")
        return 0
    rows = [
        (each.id, each.type or "-", f"{each.topic}/{each.partition}/{each.offset}", each.reason, age(now - at))
        for each, at in found
    ]
    table(("id", "type", "from", "reason", "for"), rows)
    say("")
    say("`contactsync parked show ID` shows one, `release ID` puts it back into its topic, `drop ID` deletes it.")
    return 0


async def show(id: str, *, body: bool) -> int:
    """Show a message's headers and the size of its body; the body itself only when asked for."""
    owner, number = _parsed(id)
    async with opened(load()) as store, store.transaction(readonly=True) as database:
        row = await _OWNERS[owner].kept(database, number)
    if row is None:
        raise _missing(id)
    message = _message(owner, row)
    say(f"{message.id}: {visible(message.reason)}")
    say(f"from {message.topic}, partition {message.partition}, offset {message.offset}; set aside {message.at}")
    for name, value in _OWNERS[owner].headers_of(row):
        say(f"  {visible(name)}: {visible(value.decode('utf-8', 'replace'))}")
    if not body:
        say(f"Its body has {message.size} bytes. --body shows it: it may hold a contact's data.")
    else:
        say(visible(bytes(row["value"]).decode("utf-8", "replace")))
    return 0


async def decide(id: str, *, release: bool) -> int:
    """Put a message back into its topic, or drop it for good."""
    owner, number = _parsed(id)

    async def work(database: Connection) -> Record | None:
        kept = _OWNERS[owner]
        row: Record | None = await (kept.release if release else kept.drop)(database, number)
        if row is not None:
            await of_sync.note(database, row, id, released=release)
        return row

    async with opened(load()) as store:
        row = await store.retrying(work)
    if row is None:
        raise _missing(id)
    if release:
        say(f"Released: {id} goes back into {row['topic']}. If it still can't be taken in, it is set aside again.")
    else:
        say(f"Dropped: {id} is gone for good.")
    return 0


async def _rows(database: Connection) -> list[tuple[str, Record]]:
    found = [(owner, row) for owner, kept in _OWNERS.items() for row in await kept.listed(database)]
    return sorted(found, key=lambda each: (each[1]["at"], each[0], each[1]["id"]))


def _message(owner: str, row: Record) -> Message:
    headers = dict(_OWNERS[owner].headers_of(row))
    return Message(
        id=f"{owner}-{row['id']}",
        topic=row["topic"],
        partition=row["partition"],
        offset=row["position"],
        type=headers.get("ce_type", b"").decode("utf-8", "replace"),
        reason=row["reason"],
        size=row["size"],
        at=row["at"].isoformat(timespec="seconds"),
    )


def _parsed(id: str) -> tuple[str, int]:
    owner, _, number = id.partition("-")
    if owner not in _OWNERS or not (number.isascii() and number.isdigit()) or len(number) > _DIGITS:
        raise _missing(id)
    return owner, int(number)


_DIGITS = 18


def _missing(id: str) -> Failure:
    return Failure(f"No message {id} is set aside. `contactsync parked list` shows what is.")
