"""A CardDAV address book as people use it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import httpx2

from services.connectors.carddav.sandbox import CarddavSandbox
from tests.faults.account import TRASH, Looked, Row
from tests.faults.model import numbers_in


class Book:
    """An address book on a CardDAV server, which people use through a program that never overwrites unseen changes."""

    _LINES = {"name": "FN", "phone": "TEL", "note": "NOTE", "company": "ORG"}  # noqa: RUF012

    def __init__(self, name: str, sandbox: CarddavSandbox, http: httpx2.AsyncClient) -> None:
        self.name = name
        self.sandbox = sandbox
        self._carried: set[int] = set()
        self.puts = 0
        self.deleted = 0
        self._http = http
        self._gone: dict[str, tuple[str, str]] = {}
        self._where: dict[str, str] = {}

    async def everybody(self) -> Sequence[Row]:
        rows = []
        for name in await self.sandbox.names():
            text = await self.sandbox.get(name)
            if text is not None:
                rows.append(self._row(name, text))
        return rows

    async def make(self, email: str, fields: Mapping[str, str]) -> None:
        uid = email.partition("@")[0]
        lines = [f"UID:{uid}", "N:;;;;", "FN:", f"EMAIL:{email}"]
        text = "\r\n".join(["BEGIN:VCARD", "VERSION:3.0", *lines, "END:VCARD", ""])
        await self.sandbox.put(f"{uid}.vcf", _written(text, fields))

    async def edit(self, email: str, fields: Mapping[str, str], looked: Looked) -> bool:
        while (name := await self._find(email)) is not None:
            answer = await self._http.get(self.sandbox.url + name)
            if answer.status_code == 404:
                self._where.pop(email, None)
                continue
            answer.raise_for_status()
            body = _written(answer.text, fields)
            headers = {"if-match": answer.headers["etag"], "content-type": "text/vcard; charset=utf-8"}
            put = await self._http.put(self.sandbox.url + name, content=body.encode(), headers=headers)
            if put.status_code != 412:
                put.raise_for_status()
                looked(self._row(name, answer.text).fields)
                return True
        return False

    async def delete(self, email: str) -> bool:
        name = await self._find(email)
        text = None if name is None else await self.sandbox.get(name)
        if name is None or text is None:
            return False
        self._gone[email] = name, text
        await self.sandbox.delete(name)
        self._where.pop(email, None)
        return True

    async def bring_back(self, email: str) -> bool:
        await self.sandbox.put(*self._gone[email])
        return True

    def writes(self) -> int:
        return self.puts

    def deletions(self) -> int:
        return self.deleted

    def carried(self) -> set[int]:
        return self._carried

    def heard(self, piece: bytes) -> None:
        """Count what contactsync asks of the server: its requests come through a proxy, people's don't."""
        self.puts += len(re.findall(rb"(?m)^PUT /", piece))
        self.deleted += len(re.findall(rb"(?m)^DELETE /", piece))
        self._carried |= numbers_in(piece)

    async def _find(self, email: str) -> str | None:
        if email not in self._where:
            self._where |= {row.email: row.id for row in await self.everybody()}
        return self._where.get(email)

    def _row(self, name: str, text: str) -> Row:
        said = dict(re.findall(r"(?m)^(?:item\d+\.)?(FN|TEL|NOTE|ORG|EMAIL)[^:\r\n]*:([^\r\n]*)", text)[::-1])
        fields = {each: said.get(line, "") for each, line in self._LINES.items()}
        return Row(name, said.get("EMAIL", ""), fields, bool(re.search(rf"(?m)^CATEGORIES:.*{TRASH}", text)))


def _written(text: str, fields: Mapping[str, str]) -> str:
    """The card with other lines; those that it has keep their parameters out."""
    for name, value in fields.items():
        for line, said in _card_lines(name, value):
            pattern = rf"(?m)^{line}[^:\r\n]*:[^\r\n]*\r?$"
            if re.search(pattern, text):
                text = re.sub(pattern, f"{line}:{said}\r", text, count=1)
            else:
                text = text.replace("END:VCARD", f"{line}:{said}\r\nEND:VCARD")
    return text


def _card_lines(name: str, value: str) -> list[tuple[str, str]]:
    match name:
        case "name":
            given, _, family = value.partition(" ")
            return [("FN", value), ("N", f"{family};{given};;;")]
        case "phone":
            return [("TEL", value)]
        case "note":
            return [("NOTE", value)]
        case _:
            return [("ORG", value)]
