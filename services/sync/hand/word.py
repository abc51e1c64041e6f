"""A person's word in a transaction: everything it may touch is locked first (P0), then it is decided and journalled."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from services.contracts.app import Manifest
from services.runtime.store import Connection as Database
from services.runtime.store import Store
from services.sync.closure import Keys, closure
from services.sync.configs import read_configs
from services.sync.core.slice import ContactKey, MissingLockError, OlderConfigError, Slice
from services.sync.core.state import Decision
from services.sync.journal import Journalled, Taken
from services.sync.load import load, lock, scanned_accounts
from services.sync.save import save
from services.sync.transact import LocksShortError

T = TypeVar("T")
PERSON = "person"
"""The journal's name of this kind of input."""
_TOGETHER = 20
"""Attempts whose locks fell short before giving up: each has more than the one before."""
_INSERT = """
INSERT INTO sync.journal (day, number, at, link, connection, input, cause, topic, partition, position, outcome, reason)
SELECT now()::date, nextval('sync.journal_number'), now(), $1, $2, $3, $4, $5, $6, $7, $8, $9
"""


def seeds(*, contacts: tuple[ContactKey, ...] = (), links: tuple[str, ...] = ()) -> Keys:
    """Return the keys of what a person names: contacts as (account, contact id), links by id."""
    # A contact's own name is locked, too: it may have no address.
    names = {f"contact:{account}:{contact_id}" for account, contact_id in contacts}
    return Keys(addresses=names, links=set(links), contacts=set(contacts))


async def spoken(
    store: Store, manifests: Mapping[str, Manifest], named: Keys, cause: str, word: Callable[[Slice], T]
) -> T:
    """Let `word` decide about what is named, in one transaction; return its answer.

    `word` is pure: it changes the slice, or leaves it as it is to refuse. `cause` is what the person said, for the
    journal: ids, no contact's data. `manifests` is by app.
    """
    keys = Keys()

    async def work(database: Database) -> T:
        configs = await read_configs(database, manifests)
        scanned = await scanned_accounts(database, sorted(configs.manifests))
        keys.add(await closure(database, named, configs))
        links, records = await lock(database, keys)
        needed = await closure(database, named, configs)
        if not keys.covers(needed):
            keys.add(needed)
            raise LocksShortError
        state = await load(database, keys, configs, links, records, scanned)
        reserved = dict(state.reservations)
        answer = word(state)
        told = [Journalled(decision=decision, input=PERSON, cause=cause) for decision in state.decisions]
        await save(database, reserved, state, told, Taken(configs=configs, items=()))
        return answer

    for _ in range(_TOGETHER):
        try:
            return await store.retrying(work)
        except MissingLockError as error:
            keys.addresses.add(error.key)
        except (LocksShortError, OlderConfigError):
            continue
    return await store.retrying(work)


async def noted(
    database: Database,
    decision: Decision,
    cause: str,
    *,
    place: tuple[str, int, int] | None = None,
) -> None:
    """Journal a person's word that changes nothing of a link here; `place`: the message's topic, partition, offset."""
    topic, partition, position = place or (None, None, None)
    link, connection = decision.link or None, decision.connection or None
    told = decision.outcome, decision.reason
    await database.execute(_INSERT, link, connection, PERSON, cause, topic, partition, position, *told)
