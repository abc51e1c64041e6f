"""The one HTTP client: explicit time-outs, no redirects, answers of a bounded size."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import httpx2

from services.runtime.reach import GuardedTransport, Reach

MOST_BYTES = 16 * 1024 * 1024
"""The largest answer that is read: far above any app's page of contacts."""


class TooLarge(Exception):  # noqa: N818 - reads as the sentence it is
    """An answer was larger than allowed, and wasn't read to its end."""


def client(
    *,
    connect: float = 5.0,
    read: float = 30.0,
    connections: int = 20,
    base_url: str = "",
    reach: Reach | None = None,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> httpx2.AsyncClient:
    """A client for one account or app; close it with `async with`.

    `connect` and `read` are seconds (`read` between two pieces of an answer, and for sending). Redirects
    aren't followed: a credential must not travel to wherever an answer points. `reach` says which addresses may be
    connected to; without it, the default's. HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE of the environment count; behind
    a proxy, it is the proxy that resolves names and has to judge addresses. `transport` lets a sandbox answer instead
    of the network.
    """
    return _Client(
        reach or Reach(),
        base_url=base_url,
        timeout=httpx2.Timeout(connect=connect, read=read, write=read, pool=read),
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        follow_redirects=False,
        headers={"user-agent": f"contactsync/{_version()}"},
        transport=transport,
    )


class _Client(httpx2.AsyncClient):
    """httpx2's client, guarded wherever no proxy stands between. Given a transport it would forget the proxies."""

    def __init__(self, reach: Reach, **how: Any) -> None:
        self._reach = reach
        super().__init__(**how)

    def _init_transport(self, *arguments: Any, **how: Any) -> httpx2.AsyncBaseTransport:
        if (given := how.get("transport")) is not None:
            return given  # type: ignore[no-any-return]
        return GuardedTransport(self._reach, limits=how["limits"])


async def fetch(http: httpx2.AsyncClient, request: httpx2.Request, *, most: int = MOST_BYTES) -> httpx2.Response:
    """Send `request` and read the whole answer, up to `most` bytes after decompression.

    Raises `TooLarge`, or httpx2's transport errors.
    """
    response = await http.send(request, stream=True)
    try:
        body = bytearray()
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) > most:
                raise TooLarge(f"The answer has more than {most} bytes. Nothing of it was used.")
    finally:
        await response.aclose()
    # As bytes: what isn't ASCII can be read from them in some way, but not be written again.
    dropped = {b"content-encoding", b"content-length"}
    kept = [(name, value) for name, value in response.headers.raw if name.lower() not in dropped]
    return httpx2.Response(response.status_code, headers=kept, content=bytes(body), request=request)


def _version() -> str:
    try:
        return importlib.metadata.version("contactsync")
    except importlib.metadata.PackageNotFoundError:  # run from its sources, without an installation
        return "0"
