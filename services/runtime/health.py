"""What orchestrators and Prometheus ask of every process: alive, ready, figures."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias
from urllib.parse import urlsplit

import asyncpg
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.runtime.metrics import Metrics
from services.runtime.store import Store
from services.runtime.store.migrate import MigrationError, pending

_SECONDS = 2.0

Question: TypeAlias = Callable[[], Awaitable[bool]]


class HealthPortError(Exception):
    """The address for health checks can't be had."""


class Health:
    """`/livez`, `/readyz` and `/metrics` of one process.

    Alive never depends on anything outside this process: a database that is away is no reason to start it anew. A
    role that has stopped working ends the process by itself (`services.runtime.log.consume.StuckError`).
    `questions` are what it needs in order to do its work, by name.
    """

    def __init__(self, metrics: Metrics, questions: Mapping[str, Question]) -> None:
        self._metrics = metrics
        self._questions = dict(questions)
        self.draining = False
        """Set when the process is about to stop: traffic goes elsewhere, what comes is still taken."""

    async def live(self, request: Request) -> Response:
        """200 as long as our own loop turns."""
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> Response:
        """200 if the process can do its work now, else 503 with what is missing."""
        answers = await asyncio.gather(*(_soon(question) for question in self._questions.values()))
        missing = ["draining"] if self.draining else []
        missing += [name for name, fine in zip(self._questions, answers, strict=True) if not fine]
        return JSONResponse({"ready": not missing, "missing": missing}, status_code=503 if missing else 200)

    async def figures(self, request: Request) -> Response:
        """The metrics in Prometheus' text format."""
        return Response(self._metrics.exposition(), headers={"content-type": self._metrics.content_type})


def routes(health: Health) -> list[Route]:
    """Return the three routes, for whoever serves more."""
    return [
        Route("/livez", health.live),
        Route("/readyz", health.ready),
        Route("/metrics", health.figures),
    ]


def application(health: Health) -> Starlette:
    """Return the ASGI application of a process that serves nothing else, or serves this apart."""
    return Starlette(routes=routes(health))


def schema_check(store: Store) -> Question:
    """Return a question: whether the database has all our migrations. Asked until the answer is yes."""
    fine = False

    async def ask() -> bool:
        nonlocal fine
        if not fine:
            async with store.transaction(readonly=True) as connection:
                fine = not await pending(connection)
        return fine

    return ask


def store_check(store: Store) -> Question:
    """Return a question: whether the database answers."""

    async def ask() -> bool:
        return bool(await store.fetchval("SELECT true"))

    return ask


def listening(address: str) -> socket.socket:
    """Return a socket that listens on host:port (CONTACTSYNC_HEALTH_LISTEN). Raises `HealthPortError`."""
    parts = urlsplit(f"//{address}")
    family = socket.AF_INET6 if ":" in (parts.hostname or "") else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((parts.hostname or "", parts.port or 0))
    except OSError as error:
        listener.close()
        raise HealthPortError(
            f"Can't listen on {address} for health checks ({error.strerror}): stop what uses it, or set "
            "CONTACTSYNC_HEALTH_LISTEN to another."
        ) from None
    return listener


async def _soon(question: Question) -> bool:
    try:
        async with asyncio.timeout(_SECONDS):
            return await question()
    except (OSError, TimeoutError, MigrationError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
