"""A real CardDAV server to try things on: Radicale, as a process of its own (it is GPL: never imported here)."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
import sys
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import httpx2

_BOOK = (
    '<mkcol xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><set><prop><resourcetype><collection/>'
    "<C:addressbook/></resourcetype></prop></set></mkcol>"
)
_READY = 15.0
_TRIES = 3


class CarddavSandbox:
    """One Radicale with one user and one address book, on a free port of this machine.

    Enter it with `async with`; it ends, by its own process id, on leaving. What it stores stays in `folder`.
    Raises `RuntimeError` if Radicale isn't installed or doesn't start.
    """

    username = "ada"
    password = "open sesame"

    def __init__(self, folder: Path, book: str = "contacts") -> None:
        self._folder = folder
        self._book = book
        self._process: asyncio.subprocess.Process | None = None
        self._http: httpx2.AsyncClient | None = None
        self.origin = ""

    @property
    def url(self) -> str:
        """The address book's address."""
        return f"{self.origin}/{self.username}/{self._book}/"

    @property
    def settings(self) -> dict[str, str]:
        """The account's settings, as in the connections file."""
        return {"url": self.url, "username": self.username}

    @property
    def credentials(self) -> dict[str, tuple[str, ...]]:
        """The account's credentials."""
        return {"password": (self.password,)}

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> Self:
        """Start the server, and make the address book if it isn't there."""
        if importlib.util.find_spec("radicale") is None:
            raise RuntimeError("The CardDAV sandbox needs Radicale: install the development dependencies.")
        try:
            await self._started()
            await self.make_book(self._book)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server."""
        await self._stop()

    async def make_book(self, name: str) -> str:
        """Make an address book if it isn't there; return its address."""
        url = f"{self.origin}/{self.username}/{name}/"
        answer = await self._ask("PROPFIND", url, headers={"depth": "0"})
        if answer.status_code == 404:
            (await self._ask("MKCOL", url, _BOOK)).raise_for_status()
        return url

    async def put(self, name: str, card: str) -> str:
        """Store a card as a person's program would, over whatever is there; return its etag.

        `name` is relative to the address book, here and below.
        """
        headers = {"content-type": "text/vcard; charset=utf-8"}
        answer = await self._ask("PUT", urljoin(self.url, name), card, headers)
        answer.raise_for_status()
        return str(answer.headers["etag"])

    async def get(self, name: str) -> str | None:
        """Return a card's text; None if there is none."""
        answer = await self._ask("GET", urljoin(self.url, name))
        return None if answer.status_code == 404 else answer.raise_for_status().text

    async def delete(self, name: str) -> None:
        """Delete a card."""
        (await self._ask("DELETE", urljoin(self.url, name))).raise_for_status()

    async def names(self, book: str = "") -> list[str]:
        """Return the names of all cards, sorted; of another address book by its address."""
        text = (await self._ask("PROPFIND", book or self.url, headers={"depth": "1"})).raise_for_status().text
        hrefs = [piece.partition("<")[0] for piece in text.split("href>")]
        return sorted(href.rpartition("/")[2] for href in hrefs if href.endswith(".vcf"))

    async def _started(self) -> None:
        for _ in range(_TRIES):
            if await self._start():
                return
            await self._stop()
        words = (self._folder / "radicale.log").read_text(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"Radicale didn't start. Its last words: {' '.join(words) or 'none'}")

    async def _start(self) -> bool:
        folder = self._folder
        folder.mkdir(parents=True, exist_ok=True)
        users, config = folder / "users", folder / "radicale.conf"
        users.write_text(f"{self.username}:{self.password}\n")
        users.chmod(0o600)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]  # somebody may take it before Radicale does: then another is tried
        config.write_text(
            f"[server]\nhosts = 127.0.0.1:{port}\n"
            f"[auth]\ntype = htpasswd\nhtpasswd_filename = {users}\nhtpasswd_encryption = plain\ndelay = 0\n"
            f"[storage]\nfilesystem_folder = {folder / 'collections'}\n"
            "[web]\ntype = none\n"
        )
        with (folder / "radicale.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "radicale", "--config", str(config)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env={key: value for key, value in os.environ.items() if not key.startswith("RADICALE_")},
                start_new_session=True,  # an interrupt at the terminal is for us to pass on
            )
        self.origin = f"http://127.0.0.1:{port}"
        self._http = httpx2.AsyncClient(auth=(self.username, self.password), timeout=10, trust_env=False)
        return await self._ready()

    async def _ready(self) -> bool:
        process = self._process
        try:
            async with asyncio.timeout(_READY):
                while process is not None and process.returncode is None:
                    try:
                        answer = await self._ask("OPTIONS", self.origin + "/")
                    except httpx2.TransportError:
                        await asyncio.sleep(0.02)
                        continue
                    return answer.status_code == 200
        except TimeoutError:
            pass
        return False

    async def _ask(
        self, method: str, url: str, body: str = "", headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        assert self._http is not None
        return await self._http.request(method, url, content=body.encode() or None, headers=headers)

    async def _stop(self) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
