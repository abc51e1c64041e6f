"""The one HTTP client: explicit time-outs, no redirects, answers of a bounded size."""

from __future__ import annotations

import importlib.metadata

import httpx2

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
    transport: httpx2.AsyncBaseTransport | None = None,
) -> httpx2.AsyncClient:
    """A client for one account or app; close it with `async with`.

    `connect` and `read` are seconds (`read` between two pieces of an answer, and for sending). Redirects
    aren't followed: a credential must not travel to wherever an answer points. HTTPS_PROXY,
    NO_PROXY and SSL_CERT_FILE of the environment count. `transport` lets a sandbox answer instead of the
    network.
    """
    return httpx2.AsyncClient(
        base_url=base_url,
        timeout=httpx2.Timeout(connect=connect, read=read, write=read, pool=read),
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        follow_redirects=False,
        headers={"user-agent": f"contactsync/{_version()}"},
        transport=transport,
    )


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
    kept = [(k, v) for k, v in response.headers.multi_items() if k not in {"content-encoding", "content-length"}]
    return httpx2.Response(response.status_code, headers=kept, content=bytes(body), request=request)


def _version() -> str:
    try:
        return importlib.metadata.version("contactsync")
    except importlib.metadata.PackageNotFoundError:  # run from its sources, without an installation
        return "0"
