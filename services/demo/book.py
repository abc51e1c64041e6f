"""The address book as somebody else uses it: through CardDAV, past contactsync."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass

import httpx2

from services.demo.servers import BOOK_PASSWORD, BOOK_USER

_QUERY = (
    '<C:addressbook-query xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><prop><getetag/><C:address-data/>'
    "</prop>{filter}</C:addressbook-query>"
)
_WITH_EMAIL = (
    '<C:filter><C:prop-filter name="EMAIL"><C:text-match match-type="equals">{}</C:text-match></C:prop-filter>'
    "</C:filter>"
)
_ANY = '<C:filter><C:prop-filter name="FN"/></C:filter>'
_DAV, _CARDDAV = "{DAV:}", "{urn:ietf:params:xml:ns:carddav}"


@dataclass(frozen=True, slots=True)
class Card:
    """A card as the server has it."""

    path: str
    etag: str
    text: str

    def values(self, name: str) -> list[str]:
        """The values of a property, its escapes undone; the parts of a structured one are joined by `;`."""
        unfolded = re.sub(r"\r?\n[ \t]", "", self.text)
        rows = (line.partition(":") for line in unfolded.splitlines())
        return [
            re.sub(r"\\(.)", lambda escape: "\n" if escape[1] in "nN" else escape[1], value)
            for left, _, value in rows
            if left.partition(";")[0].rpartition(".")[2].upper() == name
        ]

    def value(self, name: str) -> str:
        """The first value of a property, or nothing."""
        return next(iter(self.values(name)), "")

    def replaced(self, name: str, value: str) -> str:
        """The text with the property's first line giving `value` instead, or with a new line."""
        lines = re.sub(r"\r?\n[ \t]", "", self.text).splitlines()
        for at, line in enumerate(lines):
            left = line.partition(":")[0]
            if left.partition(";")[0].rpartition(".")[2].upper() == name:
                lines[at] = f"{left}:{value}"
                break
        else:
            lines.insert(len(lines) - 1, f"{name}:{value}")
        return "\r\n".join(lines) + "\r\n"


class Book:
    """One address book. Raises httpx2's errors."""

    def __init__(self, http: httpx2.AsyncClient, origin: str) -> None:
        self._http = http
        self._origin = origin
        self.url = f"{origin}/{BOOK_USER}/contacts/"

    async def with_email(self, email: str) -> list[Card]:
        """Read the cards with this e-mail address."""
        return await self._query(_WITH_EMAIL.format(email))

    async def all(self) -> list[Card]:
        """Read all cards."""
        return await self._query(_ANY)

    async def put(self, path: str, text: str, etag: str | None = None) -> None:
        """Write a card: over the one of this etag, or a new one. `path` is the card's, or a name in the book."""
        guard = {"if-none-match": "*"} if etag is None else {"if-match": etag}
        await self._ask("PUT", path, text, {"content-type": "text/vcard; charset=utf-8", **guard})

    async def delete(self, card: Card) -> None:
        """Delete a card."""
        await self._ask("DELETE", card.path, "", {"if-match": card.etag})

    async def _query(self, which: str) -> list[Card]:
        answer = await self._ask("REPORT", self.url, _QUERY.format(filter=which), {"depth": "1"})
        found = []
        for row in ET.fromstring(answer.content).iter(f"{_DAV}response"):  # noqa: S314 - the answer of our own child
            path, etag = row.findtext(f"{_DAV}href"), row.findtext(f".//{_DAV}getetag")
            text = row.findtext(f".//{_CARDDAV}address-data")
            if path and etag and text:
                found.append(Card(path, etag, text))
        return found

    async def _ask(self, method: str, path: str, body: str, headers: dict[str, str]) -> httpx2.Response:
        url = path if path.startswith("http") else self._origin + path if path.startswith("/") else self.url + path
        answer = await self._http.request(
            method, url, content=body.encode() or None, headers=headers, auth=(BOOK_USER, BOOK_PASSWORD)
        )
        return answer.raise_for_status()
