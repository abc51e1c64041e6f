"""`held`: changes that wait for a person's yes."""

from __future__ import annotations

from services.cli.database import opened
from services.cli.failure import Failure
from services.cli.files import manifests
from services.cli.output import age, say, table
from services.runtime.clock import SystemClock
from services.runtime.settings import load
from services.sync.control import HeldChange, approve, held, reject


async def show() -> int:
    """List what waits, oldest link first."""
    async with opened(load()) as store, store.transaction(readonly=True) as database:
        waiting = await held(database)
    if not waiting:
        say("Nothing waits for a yes.")
        return 0
    now = SystemClock().now()
    table(
        ("id", "connection", "what", "for"),
        [(change.id, change.connection or "-", _told(change), age(now - change.since)) for change in waiting],
    )
    say("")
    say("`contactsync held approve ID` lets it happen, `contactsync held reject ID` drops it.")
    return 0


async def decide(id: str, *, yes: bool) -> int:
    """Approve or reject the change of that id."""
    async with opened(load()) as store:
        async with store.transaction(readonly=True) as database:
            change = next((change for change in await held(database) if change.id == id), None)
        if change is None:
            raise Failure(f"Nothing with the id {id} waits. `contactsync held list` shows what does.")
        done = await (approve if yes else reject)(store, manifests(), change)
    if not done and change.kind == "often" and not yes:
        raise Failure("It isn't written as long as you don't approve: there is nothing to reject.")
    if not done:
        raise Failure(f"{id} no longer waits: something else was decided in the meantime.")
    say(f"{'Approved' if yes else 'Rejected'}: {_told(change)}.")
    return 0


def _told(change: HeldChange) -> str:
    match change.kind:
        case "field":
            return f"{change.line} of {change.contact or 'a new contact'} in {change.account} becomes {change.value}"
        case "window":
            return f"{change.value} contacts deleted within ten minutes get the trash tag on the other side"
        case "often":
            return f"{change.contact} in {change.account} is written again ({change.value} times in ten minutes so far)"
        case "deletions":
            return f"{change.value} contacts of {change.account} are gone by a scan"
