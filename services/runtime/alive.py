"""For a container's health check: `python -m services.runtime.alive` ends with 0 if the process beside it is alive."""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping

_SECONDS = 4.0
_DEFAULT = "127.0.0.1:8000"


def alive(environment: Mapping[str, str]) -> bool:
    """Ask the process whose settings are in `environment`, on this machine."""
    listen = environment.get("CONTACTSYNC_HEALTH_LISTEN") or environment.get("CONTACTSYNC_LISTEN") or _DEFAULT
    host, _, port = listen.rpartition(":")
    # What listens everywhere listens here.
    host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))  # noqa: S104 - nobody listens by this
    connection = http.client.HTTPConnection(host, int(port), timeout=_SECONDS)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if alive(os.environ) else 1)
