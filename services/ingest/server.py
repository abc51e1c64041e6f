"""The HTTP server and the address it listens on."""

import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from services.ingest.connection import Bounds, Config
from services.runtime.settings import Settings
from services.runtime.sockets import undelayed


class PortTakenError(Exception):
    """The address to listen on can't be had."""


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the whole process stops together."""

    def __init__(self, app: ASGIApp, *, grace: int, date_header: bool = True, bounds: Bounds = Bounds()) -> None:  # noqa: B008
        """`grace`: seconds that requests under way get when it stops."""
        super().__init__(
            Config(
                app,
                bounds=bounds,
                log_config=None,
                # Its warnings tell of every request that is broken on the wire: whoever sends such would write the log.
                log_level="error",
                access_log=False,
                lifespan="off",
                ws="none",
                date_header=date_header,
                server_header=False,
                proxy_headers=False,  # nobody asks where a delivery came from: its signature says who sent it
                timeout_graceful_shutdown=grace,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen; answers leave at once."""
        undelayed(sockets or ())
        await super().startup(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield


def bound(settings: Settings) -> socket.socket:
    """Return a socket listening on the settings' address. Raises `PortTakenError`."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise PortTakenError(
            f"Can't listen on {settings.listen} ({error.strerror}): stop what uses it, or set CONTACTSYNC_LISTEN."
        ) from None
    return listener
