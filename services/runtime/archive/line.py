"""The lines of an archive: rows as objects by column, and messages of the log."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

import msgspec

from services.runtime.log import Partition, Record

Row: TypeAlias = dict[str, msgspec.Raw]
"""A row: its columns' values as JSON. Numbers and truth values as such, JSON columns as they are, all else as
PostgreSQL's own text."""


class Binary(msgspec.Struct, frozen=True):
    """Bytes that aren't text."""

    base64: str


Bytes: TypeAlias = str | Binary


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """One message of the log."""

    offset: int
    at: datetime
    key: Bytes
    headers: tuple[tuple[str, Bytes], ...]
    value: Bytes


_encode = msgspec.json.Encoder().encode
_decode_logged: Callable[[bytes], Logged] = msgspec.json.Decoder(Logged).decode


def _packed(data: bytes) -> Bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Binary(base64.b64encode(data).decode())


def _unpacked(text: Bytes) -> bytes:
    return text.encode() if isinstance(text, str) else base64.b64decode(text.base64, validate=True)


def of_record(record: Record) -> bytes:
    """Return the line of a message."""
    return _encode(
        Logged(
            offset=record.offset,
            at=record.time,
            key=_packed(record.key),
            headers=tuple((name, _packed(value)) for name, value in record.headers),
            value=_packed(record.value),
        )
    )


def record_of(place: Partition, text: bytes) -> Record:
    """Return the message of a line. Raises msgspec's errors, and `ValueError`."""
    logged = _decode_logged(text)
    return Record(
        partition=place,
        offset=logged.offset,
        key=_unpacked(logged.key),
        headers=tuple((name, _unpacked(value)) for name, value in logged.headers),
        value=_unpacked(logged.value),
        time=logged.at,
    )
