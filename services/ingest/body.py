"""A request's body, read under a limit that is enforced while it arrives."""

import asyncio
from collections.abc import Mapping

import msgspec
from starlette.requests import ClientDisconnect, Request

RETRY_AFTER = {"retry-after": "5"}
_CLOSE = {"connection": "close"}
"""The rest of such a body is never read, so the connection can't carry another request."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a delivery is not taken: the HTTP status, a short code, and a sentence without the body's data."""

    status: int
    code: str
    error: str
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)


class Room:
    """The memory that bodies on their way in may take together, in bytes."""

    def __init__(self, size: int) -> None:
        self._free = size

    def take(self, size: int) -> bool:
        """Take `size` bytes; False if that is more than what is left."""
        if size > self._free:
            return False
        self._free -= size
        return True

    def give_back(self, size: int) -> None:
        """Free `size` bytes."""
        self._free += size


class Bodies:
    """Reads bodies of at most `limit` bytes, each within `seconds`, all of them together within `room`."""

    def __init__(self, *, limit: int, seconds: float, room: Room) -> None:
        self._limit = limit
        self._seconds = seconds
        self._room = room

    async def read(self, request: Request) -> bytes | Refusal:
        """Return the raw body, or why not. A declared length is believed only where it refuses."""
        lengths = request.headers.getlist("content-length")
        if len(lengths) > 1 or any(not (text.isascii() and text.isdigit()) for text in lengths):
            return Refusal(status=400, code="length", error="Content-Length isn't one number. Send it once, in digits.")
        if lengths and (len(lengths[0]) > 18 or int(lengths[0]) > self._limit):
            return self._too_large()
        taken = 0
        chunks: list[bytes] = []
        try:
            async with asyncio.timeout(self._seconds):
                async for chunk in request.stream():
                    if taken + len(chunk) > self._limit:
                        return self._too_large()
                    if not self._room.take(len(chunk)):
                        return Refusal(
                            status=503,
                            code="busy",
                            error="Too many deliveries are arriving at once. Send this one again in a while.",
                            headers={**RETRY_AFTER, **_CLOSE},
                        )
                    taken += len(chunk)
                    chunks.append(chunk)
        except TimeoutError:
            return Refusal(
                status=408,
                code="slow",
                error=f"The body didn't arrive within {self._seconds:g} s. Send the delivery again.",
                headers=_CLOSE,
            )
        except ClientDisconnect:
            return Refusal(status=400, code="disconnected", error="The sender left before the body had arrived.")
        finally:
            self._room.give_back(taken)
        return b"".join(chunks)

    def _too_large(self) -> Refusal:
        return Refusal(
            status=413,
            code="size",
            error=f"The body is larger than {self._limit} bytes. Send the delivery to the right address.",
            headers=_CLOSE,
        )
