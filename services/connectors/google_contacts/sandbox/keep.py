"""A sandbox that goes on after its process ended: what it holds is in a file, written before any change is answered."""

import contextlib
import json
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.connectors.google_contacts.sandbox.account import GoogleSandbox

_MOST_REQUESTS = 10_000
_READING = frozenset({"GET", "HEAD"})


class Keep:
    """The sandbox's first account as an ASGI application, taken up from `file` and kept in it.

    The file is replaced whole before an answer leaves: however the process ends, what was answered is there. Access
    tokens aren't kept: whoever holds one asks for another. Raises `ValueError` for a file that this didn't write.
    """

    def __init__(self, sandbox: GoogleSandbox, file: Path) -> None:
        self._sandbox = sandbox
        self._file = file
        self._app: ASGIApp = sandbox.app
        with contextlib.suppress(FileNotFoundError):
            kept = json.loads(file.read_bytes())
            sandbox.people.take_up(kept["people"])
            sandbox.groups.take_up(kept["groups"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and scope["method"] not in _READING:
                self._write()
            await send(message)

        if len(self._sandbox.requests) > _MOST_REQUESTS:  # nobody counts them here
            self._sandbox.requests.clear()
        await self._app(scope, receive, sending)

    def _write(self) -> None:
        half = self._file.with_suffix(".new")
        half.write_text(json.dumps({"people": self._sandbox.people.kept(), "groups": self._sandbox.groups.kept()}))
        half.replace(self._file)
