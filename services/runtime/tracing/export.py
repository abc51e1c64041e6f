"""Whether this process's spans go anywhere, and that the last ones do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.runtime import tracing


@asynccontextmanager
async def exported(url: str | None, *, ratio: float, instance: str) -> AsyncIterator[None]:
    """Export this process's spans to the collector at `url` until the block ends; None: make none.

    `ratio` is the share of traces that are kept, `instance` the process's name. A collector that is away costs spans,
    nothing else.
    """
    if url is None:
        yield
        return
    from services.runtime.tracing.otel import to_collector  # noqa: PLC0415 - slow to import, and most have no use for it

    tracer = to_collector(url, ratio=ratio, instance=instance)
    before = tracing.use(tracer)
    try:
        yield
    finally:
        tracing.use(before)
        await asyncio.to_thread(tracer.shutdown)  # it waits for the collector, and for its own thread
