"""What orchestrators and Prometheus ask: alive, ready, figures."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.runtime.log import Log
from services.runtime.metrics import Metrics
from services.runtime.store import Store
from services.runtime.store.migrate import MigrationError, pending

_SECONDS = 2.0


def schema_check(store: Store) -> Callable[[], Awaitable[bool]]:
    """Return a question: does the database have all our migrations? Asked until the answer is yes."""
    fine = False

    async def ask() -> bool:
        nonlocal fine
        if not fine:
            async with store.transaction(readonly=True) as connection:
                fine = not await pending(connection)
        return fine

    return ask


class Probes:
    """`/livez`, `/readyz` and `/metrics`. Alive never depends on anything outside this process."""

    def __init__(self, log: Log, schema: Callable[[], Awaitable[bool]], metrics: Metrics) -> None:
        self._log = log
        self._schema = schema
        self._metrics = metrics
        self.draining = False
        """Set when the process is about to stop: traffic goes elsewhere, what comes is still taken."""

    async def live(self, request: Request) -> Response:
        """200 as long as our own loop turns."""
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> Response:
        """200 if a delivery would be taken now, else 503 with the reasons."""
        missing = [
            reason
            for reason, fine in (
                ("draining", not self.draining),
                ("log", await _soon(self._log.ready)),
                ("schema", await _soon(self._schema)),
            )
            if not fine
        ]
        return JSONResponse({"ready": not missing, "missing": missing}, status_code=503 if missing else 200)

    async def figures(self, request: Request) -> Response:
        """The counters in Prometheus' text format."""
        return Response(self._metrics.exposition(), headers={"content-type": self._metrics.content_type})


async def _soon(question: Callable[[], Awaitable[bool]]) -> bool:
    try:
        async with asyncio.timeout(_SECONDS):
            return await question()
    except (OSError, TimeoutError, MigrationError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
