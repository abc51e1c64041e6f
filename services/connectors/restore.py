"""After the database was restored from a copy (P12): what the ledger holds as open may have been sent since."""

from services.connectors import ledger
from services.runtime.store import Connection

_FENCE = "UPDATE connectors.progress SET epoch = epoch + 1"
_FREE = "DELETE FROM connectors.lease"


async def restore(tx: Connection) -> None:
    """Retire every open version. Whoever still works on partitions or accounts is fenced.

    Runs in the caller's transaction, after the incarnation was raised there.
    """
    await tx.execute(_FENCE)
    await tx.execute(_FREE)
    await ledger.retire(tx)
