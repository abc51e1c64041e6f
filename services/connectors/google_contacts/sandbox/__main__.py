"""The sandbox as a process: `python -m …sandbox DESCRIPTOR FILE CLIENT_ID CLIENT_SECRET REFRESH_TOKEN`.

One account, served on an inherited listening socket and kept in FILE, opened by this OAuth client and token.
"""

import socket
import sys
from pathlib import Path

import uvicorn

from services.connectors.google_contacts.sandbox.account import GoogleSandbox
from services.connectors.google_contacts.sandbox.keep import Keep


def main(descriptor: str, file: str, client_id: str, client_secret: str, refresh_token: str) -> None:
    """Serve until a signal ends it."""
    sandbox = GoogleSandbox()
    sandbox.oauth.client_id, sandbox.oauth.client_secret = client_id, client_secret
    sandbox.oauth.grant("first", refresh_token)
    config = uvicorn.Config(
        Keep(sandbox, Path(file)),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        date_header=False,  # the sandbox dates its answers by its own clock
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(descriptor))])


if __name__ == "__main__":
    main(*sys.argv[1:])
