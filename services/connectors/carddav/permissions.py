"""What a CardDAV login opens: which address book, and whether it may be written to."""

from __future__ import annotations

from services.connectors.carddav import dav
from services.connectors.carddav.client import ask
from services.connectors.carddav.discovery import Book, Discovery
from services.contracts.app import Trouble
from services.runtime.app import Access
from services.runtime.authorize.way import Examined, Finding

_NAME = dav.DAV + "displayname"
_PRIVILEGES = dav.DAV + "current-user-privilege-set"
_WRITING = frozenset(dav.DAV + word for word in ("all", "write", "write-content", "bind"))
_LOGIN = (401, 403)


async def examine(access: Access) -> Examined:
    """Find the book and ask what may be done to it (RFC 3744 section 5.4); servers needn't say."""
    book = await Discovery().book(access)
    if isinstance(book, Trouble):
        return Examined(findings=(_not_found(book),))
    name, writable = await _asked(access, book)
    findings = [Finding(what="Address book", state="fine", told=f"found at {book.path}")]
    if writable is False:
        findings.append(
            Finding(
                what="Writing",
                state="wrong",
                told="the server says that this user may only read the address book",
                next_step="Give the user the right to write, or log in as its owner.",
            )
        )
    elif writable:
        findings.append(Finding(what="Writing", state="fine"))
    else:
        told = "the server doesn't say whether it may be written to; the first write will show it"
        findings.append(Finding(what="Writing", state="doubtful", told=told))
    return Examined(
        who=f"the address book “{name}”" if name else f"the address book {book.path}", findings=tuple(findings)
    )


def _not_found(trouble: Trouble) -> Finding:
    if trouble.key in _LOGIN:
        step = "Correct username and password; some servers want an app password made in their settings."
        return Finding(what="Login", state="wrong", told="the server refuses the user or the password", next_step=step)
    return Finding(what="Address book", state="wrong", told=trouble.detail, next_step="Correct the setting `url`.")


async def _asked(access: Access, book: Book) -> tuple[str, bool | None]:
    answer = await ask(access, "PROPFIND", book.path, dav.propfind("displayname", "current-user-privilege-set"), "0")
    root = None if isinstance(answer, Trouble) or answer.status != 207 else dav.parse(answer.body)
    if root is None:
        return "", None
    name = next((element.text or "" for element in root.iter(_NAME)), "")
    printable = "".join(letter for letter in name if letter.isprintable())[:60].strip()
    said = [element for element in root.iter(_PRIVILEGES) if len(element)]
    granted = {word.tag for element in said for word in element.iter()}
    return printable, bool(granted & _WRITING) if said else None
