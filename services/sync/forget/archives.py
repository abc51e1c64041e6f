"""Erasing a person from an archive: line by line, so that the archive reads as before without them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from services.runtime.archive.line import of_record, record_of
from services.runtime.log import Partition
from services.runtime.suppression import blanked
from services.sync.forget.erase import body_without, keys, needles
from services.sync.forget.person import Person
from services.sync.replay.inputs import bodies

_TABLES = ("sync.", "connectors.", "ingest.")


def without(who: Person) -> Callable[[str, bytes], bytes | None]:
    """Return what makes a line of an archive one without the person; None: the line goes."""
    places, texts = frozenset(keys(who)), needles(who)
    ids = [text.encode() for text in who.links | who.addresses | who.written]

    def change(stream: str, line: bytes) -> bytes | None:
        if stream.startswith("log/"):
            return _message(stream, line)
        if not stream.startswith(_TABLES):
            return line
        if stream == "sync.input":
            return _input(line)
        if not (any(text in line for text in ids) or _contact(line)):
            return line
        return _decision(line) if stream == "sync.journal" else None

    def _message(stream: str, line: bytes) -> bytes:
        _, topic, number = stream.split("/")
        record = record_of(Partition(topic, int(number)), line)
        if record.key not in places and not any(text in record.value for text in texts):
            return line
        return of_record(msgspec.structs.replace(record, key=b"", headers=blanked(record.headers), value=b""))

    def _contact(line: bytes) -> bool:
        row = msgspec.json.decode(line)
        return (row.get("account"), row.get("contact_id", row.get("subject"))) in who.contacts

    def _input(line: bytes) -> bytes:
        row: dict[str, msgspec.Raw] = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        body = bodies.decode(row["body"])
        left = body_without(body, who)
        if left == body:
            return line
        return msgspec.json.encode({**row, "body": msgspec.Raw(msgspec.json.encode(left))})

    def _decision(line: bytes) -> bytes:
        row: dict[str, msgspec.Raw] = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        return msgspec.json.encode({**row, "detail": None, "reason": "forgotten"})

    return change
