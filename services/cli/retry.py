"""`retry`: sending again what an app refused, on demand."""

from __future__ import annotations

from uuid import UUID

from services.cli.contacts import connections, places, several, unknown
from services.cli.database import opened
from services.cli.failure import MISUSED, Failure
from services.cli.files import manifests
from services.cli.output import say
from services.runtime.settings import load
from services.runtime.store import Connection as Database
from services.sync.hand import refused

_LINK = "SELECT connection FROM sync.link WHERE id = $1 AND status <> 'ended'"


async def retry(target: str | None, connection: str | None, *, everything: bool) -> int:
    """Forget the refusals of a contact's links, of one link, or all; and reconsider them."""
    if target is not None and everything:
        raise Failure("Name a contact or a link, or write --all: not both.", MISUSED)
    async with opened(load()) as store:
        if target is None and not everything:
            async with store.transaction(readonly=True) as database:
                raise await _unasked(database, connection)
        if target is None:
            async with store.transaction(readonly=True) as database:
                if connection is not None:
                    await connections(database, connection)
            done = await refused.retry_all(store, manifests(), connection)
        else:
            async with store.transaction(readonly=True) as database:
                links, contacts = await _links(database, target, connection)
            done = await refused.retry(store, manifests(), links, contacts)
    if done.refusals:
        say(f"{_count(done.refusals, 'refused value')} of {_count(done.links, 'link')} forgotten: sent again now.")
    if done.stuck:
        say(f"{_count(done.stuck, 'failed reconsideration')} tried again now.")
    if not done.refusals and not done.stuck:
        say("Nothing was refused there: there is nothing to try again.")
    return 0


async def _links(database: Database, word: str, name: str | None) -> tuple[list[str], list[str]]:
    among = await connections(database, name)
    try:
        id = UUID(word)
    except ValueError:
        id = None
    if id is not None:
        row = await database.fetchrow(_LINK, id)
        if row is None or row["connection"] not in {pair.name for pair in among}:
            raise Failure(f"There is no link {word}.")
        return [str(id)], []
    found = await places(database, word, among)
    if not found:
        raise await unknown(database, word, [account for pair in among for account in (pair.left, pair.right)])
    if len({(place.account, place.contact_id) for place in found if place.side == "left"}) > 1 or (
        len({(place.account, place.contact_id) for place in found if place.side == "right"}) > 1
    ):
        raise several(word, found)
    links = [
        link
        for place in found
        for link in await refused.links_of(database, place.connection.name, place.side, place.contact_id)
    ]
    return list(dict.fromkeys(links)), list(dict.fromkeys(place.contact_id for place in found))


async def _unasked(database: Database, connection: str | None) -> Failure:
    links, stuck = await refused.waiting(database, connection), await refused.stuck(database)
    told = f"{_count(links, 'link')} with refused values, {_count(stuck, 'failed reconsideration')}."
    return Failure(f"{told}\nName a contact (id or address) or a link, or write --all.", MISUSED)


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
