"""Where an account's address book is: the configured address, or what it leads to (RFC 6764, RFC 6352 section 7)."""

from urllib.parse import urljoin

import msgspec

from services.connectors.carddav import dav
from services.connectors.carddav.client import Answer, ask, same_origin
from services.contracts.app import Trouble
from services.runtime.app import Access

_BOOK = dav.CARD + "addressbook"
_PROPERTIES = ("resourcetype", "current-user-principal", "C:addressbook-home-set")
_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 5
_UNKNOWING = {404, 405, 403, 501}


class Book(msgspec.Struct, frozen=True):
    """An address book: the path of its collection, with a slash at its end."""

    path: str

    def holds(self, path: str) -> bool:
        """Whether a normalized path is that of a card in this book."""
        name = path.removeprefix(self.path)
        return path.startswith(self.path) and bool(name) and "/" not in name and name not in {".", ".."}


class Discovery:
    """Finds address books, and remembers them while the process lives; knows nothing else."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], Book] = {}

    async def book(self, access: Access) -> Book | Trouble:
        """Return the account's address book."""
        key = (access.account, access.settings.get("url", ""), access.settings.get("username", ""))
        if key not in self._known:
            found = await _discover(access, key[1])
            if isinstance(found, Trouble):
                return found
            self._known[key] = found
        return self._known[key]

    def forget(self, access: Access) -> None:
        """Look for the account's book anew next time."""
        for key in [key for key in self._known if key[0] == access.account]:
            del self._known[key]


async def _discover(access: Access, url: str) -> Book | Trouble:
    path = dav.path_of(url) or "/"
    given = await _find(access, path)
    if isinstance(given, Trouble):
        # A server's root may know nothing of WebDAV. But an address book that isn't there any more must not lead
        # to another one.
        if path != "/" or given.key not in _UNKNOWING:
            return _none() if given.key in {404, 410} else given
        given = ()
    if given and _BOOK in given[0].kinds:
        return _book(given[0].path)
    home = next((row.home for row in given if row.home), None)
    if home is None:
        principal = next((row.principal for row in given if row.principal), None)
        if principal is None:
            known = await _find(access, "/.well-known/carddav")
            if isinstance(known, Trouble):
                return _none() if known.key in _UNKNOWING else known
            principal = next((row.principal for row in known if row.principal), None)
        if principal is None:
            return _none()
        there = await _find(access, principal)
        if isinstance(there, Trouble):
            return there
        home = next((row.home for row in there if row.home), None)
    if home is None:
        return _none()
    rows = await _find(access, home, depth="1")
    if isinstance(rows, Trouble):
        return rows
    return _only(sorted({row.path for row in rows if _BOOK in row.kinds}))


def _only(books: list[str]) -> Book | Trouble:
    if len(books) > 1:
        named = ", ".join(books[:5]) + (" …" if len(books) > 5 else "")
        return Trouble(
            key="several_address_books",
            detail=f"The user has {len(books)} address books: put the address of one in the account's `url` ({named}).",
        )
    return _book(books[0]) if books else _none()


def _book(path: str) -> Book:
    return Book(path.rstrip("/") + "/")


def _none() -> Trouble:
    return Trouble(
        key="no_address_book",
        detail="No address book was found at the account's `url`: put the address of the book itself there.",
    )


async def _find(access: Access, where: str, depth: str = "0") -> tuple[dav.Row, ...] | Trouble:
    """Ask for properties, following redirects within the server."""
    url = access.settings.get("url", "")
    for _ in range(_MOST_REDIRECTS + 1):
        if not same_origin(url, where):
            return Trouble(
                key="no_address_book",
                detail="The server leads to another server: put the address of the book itself in the account's `url`.",
            )
        path = dav.path_of(urljoin(url, where))
        answer = await ask(access, "PROPFIND", path, dav.propfind(*_PROPERTIES), depth)
        if isinstance(answer, Trouble):
            return answer
        if answer.status not in _REDIRECTS:
            return _rows(answer)
        where = urljoin(urljoin(url, path), answer.headers.get("location", ""))
    return _none()


def _rows(answer: Answer) -> tuple[dav.Row, ...] | Trouble:
    if answer.status != 207:
        # Only a failure is worth its status; a page of HTML is no sign of an address book.
        return _none() if answer.good else answer.trouble()
    found = dav.multistatus(answer.body)
    return found.rows if found else _none()
