"""One transaction of sync: lock, load, fold the inputs in order, save; again with more if the locks fall short."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from services.contracts.envelope import derived
from services.runtime.store import Connection as Database
from services.runtime.store import Store
from services.runtime.tracing import moment
from services.sync.closure import Keys, closure, named
from services.sync.configs import Configs
from services.sync.core.slice import MissingLockError, OlderConfigError, Slice
from services.sync.core.state import Decision
from services.sync.core.take import Input, Reconsider, Restored, Sighted, take
from services.sync.explain.detail import Seen, answered, known, seen
from services.sync.journal import Journalled, Taken
from services.sync.load import load, lock, scanned_accounts
from services.sync.replay.inputs import Due, Item, Message, Retired, Sight
from services.sync.save import save
from services.sync.traced import decided

ReadConfigs = Callable[[Database], Awaitable[Configs]]
TOGETHER = 2
"""How often a batch is tried with all its inputs; after that one by one (P0)."""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """An input with where it came from."""

    item: Input
    type: str
    id: str
    topic: str | None = None
    partition: int | None = None
    position: int | None = None
    traceparent: str | None = None
    """The step of a trace that it came from."""

    @property
    def kept(self) -> Item:
        """What is kept of it, so that it can be taken in again."""
        match self.item:
            case Reconsider(link=link):
                return Due(link=link)
            case Restored(link=link):
                return Retired(link=link)
            case Sighted(account=account, contact_id=contact_id, look=look):
                return Sight(account=account, contact_id=contact_id, look=look)
            case _:
                place = self.topic or "", self.partition or 0, self.position or 0
                return Message(topic=place[0], partition=place[1], position=place[2], id=self.id)


class LocksShortError(Exception):
    """Deciding needs keys that aren't locked: nothing was written."""


async def transact(store: Store, read: ReadConfigs, begin: Callable[[Database], Awaitable[Sequence[Cause]]]) -> bool:
    """Fold causes in one transaction; return False if that needs to be tried with fewer of them.

    `begin` runs first in the transaction (progress, inbox) and returns the causes that are to be folded.
    """
    keys = Keys()
    tries = 0
    while tries < TOGETHER:
        try:
            await store.retrying(lambda database: _once(database, read, begin, keys))
        except MissingLockError as error:
            keys.addresses.add(error.key)  # there are few of that kind, each is asked for once
        except (LocksShortError, OlderConfigError):
            tries += 1
        else:
            return True
    return False


async def _once(
    database: Database,
    read: ReadConfigs,
    begin: Callable[[Database], Awaitable[Sequence[Cause]]],
    keys: Keys,
) -> None:
    fresh = await begin(database)
    await fold_into(database, await read(database), fresh, keys)


async def fold_into(database: Database, configs: Configs, fresh: Sequence[Cause], keys: Keys) -> None:
    """Fold causes in the caller's transaction, locking `keys` and what the causes name.

    Raises `LocksShortError` when that isn't enough, with `keys` grown: the transaction is to be started anew.
    """
    if not fresh:
        return
    seeds = named((cause.item for cause in fresh), configs)
    scanned = await scanned_accounts(database, sorted(configs.manifests))
    keys.add(await closure(database, seeds, configs))
    links, records = await lock(database, keys)
    needed = await closure(database, seeds, configs)
    if not keys.covers(needed):
        keys.add(needed)
        raise LocksShortError
    state = await load(database, keys, configs, links, records, scanned)
    reserved = dict(state.reservations)
    began = moment()
    journal = fold_all(state, fresh)
    taken = Taken(configs=configs, items=tuple(cause.kept for cause in fresh))
    with decided(fresh, journal, state.commands, began=began) as traces:
        await save(database, reserved, state, journal, taken, traces)


def fold_all(state: Slice, causes: Sequence[Cause]) -> list[Journalled]:
    """Fold the causes in their order; return the journal. Inputs that changed nothing leave one row together (P17)."""
    journal: list[Journalled] = []
    still: Cause | None = None
    for cause in causes:
        decided, before, record = len(state.decisions), state.changes, known(state, cause.item)
        take(state, cause.item)
        news = state.decisions[decided:]
        observed = state.changes > before
        told = [decision for decision in news if decision.changed or observed]
        shown = seen(state, cause.item, record) if told or observed else None
        journal += [_journalled(cause, decision, shown) for decision in told]
        if not told and observed:
            journal.append(_journalled(cause, _recorded(), shown))
        elif not told:
            still = cause
    if still is not None:
        journal.append(_journalled(still, _unchanged()))
    return journal


def _recorded() -> Decision:
    return Decision(link="", connection="", config_version=0, outcome="recorded", reason="only the record changed")


def _unchanged() -> Decision:
    return Decision(link="", connection="", config_version=0, outcome="nothing", reason="nothing changed up to here")


def _journalled(cause: Cause, decision: Decision, shown: Seen | None = None) -> Journalled:
    return Journalled(
        decision=decision,
        input=cause.type,
        cause=cause.id or derived(cause.type),
        topic=cause.topic,
        partition=cause.partition,
        position=cause.position,
        seen=shown,
        answered=answered(cause.item),
    )
