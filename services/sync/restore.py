"""After the database was restored from a copy (P12): no write that the copy holds as unsettled is trusted."""

from collections.abc import Mapping, Sequence

from services.contracts.app import Manifest
from services.runtime.log import Partition
from services.runtime.store import Connection as Database
from services.sync.closure import Keys
from services.sync.configs import Configs, read_configs
from services.sync.core.slice import MissingLockError
from services.sync.core.take import Restored
from services.sync.transact import Cause, LocksShortError, fold_into

CHUNK = 200
_FENCE = "UPDATE sync.progress SET epoch = epoch + 1"
_CATCH_UP = """
INSERT INTO sync.catching_up (topic, partition, upto) SELECT * FROM unnest($1::text[], $2::int[], $3::bigint[])
    ON CONFLICT (topic, partition) DO UPDATE SET upto = excluded.upto
"""
# A server that was made anew counts transactions from the start: what the copy holds came before all of its own. 3 is
# the first number that a transaction can have.
_BEFORE = "UPDATE sync.input SET xid = '3' WHERE xid <> '3'"
_UNSETTLED = "SELECT id::text FROM sync.link WHERE unsettled > 0 ORDER BY id"


async def restore(database: Database, manifests: Mapping[str, Manifest], ends: Mapping[Partition, int]) -> int:
    """Retire every unsettled write, and have the contacts they went to looked at first; return how many links had one.

    `ends`: where the log's events and receipts end now. Until they are read up to there nothing is decided.

    Runs in the caller's transaction, after the incarnation was raised there. Whoever still works on the partitions is
    fenced. A checkpoint made before is of no use any more. `manifests` is by app.
    """
    await database.execute(_FENCE)
    await database.execute(_BEFORE)
    places = sorted(ends)
    await database.execute(
        _CATCH_UP, [place.topic for place in places], [place.number for place in places], [ends[at] for at in places]
    )
    links = [row["id"] for row in await database.fetch(_UNSETTLED)]
    configs = await read_configs(database, manifests)
    for start in range(0, len(links), CHUNK):
        causes = [Cause(item=Restored(link=link), type="restored", id=link) for link in links[start : start + CHUNK]]
        keys = Keys()
        while not await _folded(database, configs, causes, keys):
            continue
    return len(links)


async def _folded(database: Database, configs: Configs, causes: Sequence[Cause], keys: Keys) -> bool:
    try:
        await fold_into(database, configs, causes, keys)
    except MissingLockError as error:
        keys.addresses.add(error.key)
        return False
    except LocksShortError:
        return False  # nothing was written; nobody else is at work, so the order of the locks doesn't matter
    return True
