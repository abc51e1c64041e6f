"""The demo's servers, each a process of its own: localstripe and Radicale, GPL programs, and our People sandbox."""

from __future__ import annotations

import contextlib
import importlib.util
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2

from services.demo.child import Child, DemoError, listening

STRIPE_KEY = "sk_test_demo"
WEBHOOK_SECRET = "whsec_demo"  # noqa: S105 - opens nothing but this machine's demo
BOOK_USER = "ada"
BOOK_PASSWORD = "open-sesame"  # noqa: S105 - as above
OFFICE = {
    "client_id": "demo.apps.googleusercontent.com",
    "client_secret": "GOCSPX-demo",
    "refresh_token": "1//demo",
}
"""What opens the Google account, as in an account's credentials."""
_TRIES = 3
_BOOK = (
    '<mkcol xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><set><prop><resourcetype><collection/>'
    "<C:addressbook/></resourcetype></prop></set></mkcol>"
)


def require() -> None:
    """Raise `DemoError` with one sentence if other people's servers aren't installed."""
    missing = [name for name in ("localstripe", "radicale") if importlib.util.find_spec(name) is None]
    if missing:
        raise DemoError(
            f"The demo plays with other people's servers, and {' and '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not installed here: run `make demo` in a checkout of contactsync, "
            f"or `pip install {' '.join(missing)}` beside it."
        )


@contextlib.asynccontextmanager
async def stripe_server(folder: Path, http: httpx2.AsyncClient, port: int = 0) -> AsyncIterator[tuple[str, Child]]:
    """Run localstripe with its data in `folder`, on `port` if that is free; gives its address and its process."""
    _make_folder(folder)
    with listening(port) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        arguments = ["localstripe", str(listener.fileno()), str(folder / "state.pickle")]
        child = Child("localstripe", arguments, folder, [listener.fileno()])
    try:
        if not await child.ready(http, f"{url}/v1/customers"):
            raise DemoError(f"localstripe doesn't start: its last words are in {folder / 'server.log'}.")
        yield url, child
    finally:
        await child.stop()


@contextlib.asynccontextmanager
async def book_server(folder: Path, http: httpx2.AsyncClient, port: int = 0) -> AsyncIterator[tuple[str, Child]]:
    """Run Radicale with its data in `folder`, on `port` if that is free; gives its address and its process."""
    _make_folder(folder)
    # The one thing that the server says to anybody: that it is this one, and not another demo's on the same port.
    realm = secrets.token_hex(8)
    for attempt in range(_TRIES):
        with listening(0 if attempt else port) as free:
            port = free.getsockname()[1]  # somebody may take it before Radicale does: then another is tried
        child = Child("Radicale", ["radicale", str(_configured(folder, port, realm))], folder)
        try:
            url = f"http://127.0.0.1:{port}"
            if not await child.ready(http, url, realm):
                if attempt < _TRIES - 1:
                    continue
                raise DemoError(f"Radicale doesn't start: its last words are in {folder / 'server.log'}.")
            await _make_book(http, f"{url}/{BOOK_USER}/contacts/")
            yield url, child
            return
        finally:
            await child.stop()


@contextlib.asynccontextmanager
async def office_server(folder: Path, http: httpx2.AsyncClient, port: int = 0) -> AsyncIterator[tuple[str, Child]]:
    """Run our People sandbox with its data in `folder`, on `port` if that is free; gives what `stripe_server` gives."""
    _make_folder(folder)
    with listening(port) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        arguments = ["google", str(listener.fileno()), str(folder / "state.json"), *OFFICE.values()]
        child = Child("The People sandbox", arguments, folder, [listener.fileno()])
    try:
        if not await child.ready(http, f"{url}/v1/people/me/connections"):
            raise DemoError(f"The People sandbox doesn't start: its last words are in {folder / 'server.log'}.")
        yield url, child
    finally:
        await child.stop()


@contextlib.asynccontextmanager
async def kafka_server(folder: Path, port: int = 0) -> AsyncIterator[str]:
    """Run a Kafka broker with its data in `folder`, on `port` if that is free; gives its address."""
    from services.demo.kafka import one_broker  # noqa: PLC0415 - only who asks for it needs Java and Maven

    folder.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    async with one_broker(folder, port) as address:
        yield address


def _make_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)


def _configured(folder: Path, port: int, realm: str) -> Path:
    users, config = folder / "users", folder / "radicale.conf"
    users.touch(mode=0o600)
    users.write_text(f"{BOOK_USER}:{BOOK_PASSWORD}\n")
    config.write_text(
        f"[server]\nhosts = 127.0.0.1:{port}\n"
        f"[auth]\ntype = htpasswd\nhtpasswd_filename = {users}\nhtpasswd_encryption = plain\n"
        f"delay = 0\nrealm = {realm}\n"
        f"[storage]\nfilesystem_folder = {folder / 'collections'}\n"
        "[web]\ntype = none\n"
    )
    return config


async def _make_book(http: httpx2.AsyncClient, url: str) -> None:
    auth = (BOOK_USER, BOOK_PASSWORD)
    if (await http.request("PROPFIND", url, auth=auth, headers={"depth": "0"})).status_code == 404:
        (await http.request("MKCOL", url, auth=auth, content=_BOOK.encode())).raise_for_status()
