"""Places in the log, where the log that an archive is imported into counts its messages otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from services.runtime.archive.line import Row
from services.runtime.log import Partition

_COLUMNS = {
    "sync.progress": "next_offset",
    "connectors.progress": "next_offset",
    "sync.journal": "position",
    "sync.parked": "position",
    "connectors.parked": "position",
    "sync.catching_up": "upto",
}
"""Tables with a topic, a partition and this."""
_INPUTS = "sync.input"
_LONG_AGO = msgspec.Raw(b'"3"')
"""Another cluster's transactions mean nothing here: every snapshot shows what was imported."""


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """How places in the archive's log become places in another."""

    shifts: Mapping[Partition, int] = {}
    """What is added to each partition's offsets."""
    ids: Mapping[str, tuple[str, str]] = {}
    """Each topic's id in the archive, and in the other log."""

    def __call__(self, table: str, row: Row) -> Row:
        """Return a row of the table with its places as they are in the other log."""
        if (column := _COLUMNS.get(table)) is not None and bytes(row["topic"]) != b"null":
            row = self._placed(row, column)
        if "log_id" in row:
            row = self._identified(row)
        if table == _INPUTS:
            row = {**row, "xid": _LONG_AGO}
        return self._inputs(row) if table == _INPUTS and any(self.shifts.values()) else row

    def _placed(self, row: Row, column: str) -> Row:
        place = Partition(msgspec.json.decode(row["topic"]), msgspec.json.decode(row["partition"]))
        if not (shift := self.shifts.get(place, 0)):
            return row
        return {**row, column: msgspec.Raw(str(msgspec.json.decode(row[column]) + shift).encode())}

    def _identified(self, row: Row) -> Row:
        before, now = self.ids.get(msgspec.json.decode(row["topic"]), ("", ""))
        # Progress with yet another log waits for `log adopt`, as it did.
        if msgspec.json.decode(row["log_id"]) != before:
            return row
        return {**row, "log_id": msgspec.Raw(msgspec.json.encode(now))}

    def _inputs(self, row: Row) -> Row:
        body: dict[str, Any] = msgspec.json.decode(row["body"])
        for item in body.get("items", ()):
            if item.get("type") == "message":
                item["position"] += self.shifts.get(Partition(item["topic"], item["partition"]), 0)
        return {**row, "body": msgspec.Raw(msgspec.json.encode(body))}
