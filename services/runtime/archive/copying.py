"""PostgreSQL's COPY text and an archive's lines, in both directions.

The format: https://www.postgresql.org/docs/16/sql-copy.html#id-1.9.3.55.9.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from services.runtime.archive.line import Row

_BARE = frozenset({"int2", "int4", "int8"})
_JSON = frozenset({"json", "jsonb"})
_NULL = b"\\N"
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)
_PLAIN = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_SPECIAL = re.compile(rb"[\\\n\r\t]")
_MARKED = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r", b"\t": b"\\t"}
_encode = msgspec.json.Encoder().encode
_text: Callable[[bytes], str] = msgspec.json.Decoder(str).decode


def _unescaped(field: bytes) -> bytes:
    return _ESCAPED.sub(lambda m: _PLAIN.get(m[1], m[1]), field) if b"\\" in field else field


def _escaped(value: bytes) -> bytes:
    return _SPECIAL.sub(lambda m: _MARKED[m[0]], value)


class FromCopy:
    """Makes lines of what COPY … TO STDOUT sends, whatever it is cut into."""

    def __init__(self, columns: Sequence[str], types: Sequence[str], put: Callable[[Row], None]) -> None:
        self._columns = tuple(zip(columns, types, strict=True))
        self._put = put
        self._kept = b""

    async def __call__(self, data: bytes) -> None:
        """Take what has come, as asyncpg hands it over."""
        *whole, self._kept = (self._kept + data).split(b"\n")
        for line in whole:
            fields = line.split(b"\t")
            self._put({name: _value(kind, field) for (name, kind), field in zip(self._columns, fields, strict=True)})


def _value(kind: str, field: bytes) -> msgspec.Raw:
    if field == _NULL:
        return msgspec.Raw(b"null")
    if kind in _BARE:
        return msgspec.Raw(field)
    if kind == "bool":
        return msgspec.Raw(b"true" if field == b"t" else b"false")
    if kind in _JSON:
        # Apps' own objects may have line ends, which outside of JSON's texts are white space, as this one is.
        return msgspec.Raw(_unescaped(field).replace(b"\n", b"\r"))
    return msgspec.Raw(_encode(_unescaped(field).decode()))


def to_copy(columns: Sequence[str], json: frozenset[str], row: Row) -> bytes:
    """Return the line that COPY … FROM STDIN takes for a row. Raises `KeyError` for a missing column."""
    return b"\t".join([_field(name in json, bytes(row[name])) for name in columns]) + b"\n"


def _field(json: bool, value: bytes) -> bytes:  # noqa: FBT001 - only called above
    if value == b"null":
        return _NULL
    if not json and value.startswith(b'"'):
        return _escaped(_text(value).encode())
    return _escaped(value.replace(b"\r", b"\n") if json else value)
