"""Parts of archives by themselves: any bytes and texts come back, and length costs no memory (G5)."""

from __future__ import annotations

import os
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from services.runtime.archive.copying import FromCopy, to_copy
from services.runtime.archive.error import ArchiveError
from services.runtime.archive.line import Row, of_record, record_of
from services.runtime.archive.part import PartWriter, lines
from services.runtime.archive.places import Moved
from services.runtime.log import Partition, Record

PLACE = Partition("t", 3)


@pytest.mark.parametrize("data", [b"", b"\x00", b"text", 'ä\u2028\n\r\t"\\'.encode(), b"\xff\xfe", bytes(range(256))])
def test_g5_a_message_of_any_bytes_comes_back(data: bytes) -> None:
    at = datetime(2026, 11, 22, 1, 2, 3, 456789, UTC)
    record = Record(partition=PLACE, offset=7, key=data, headers=(("ä", data), ("ä", b"")), value=data, time=at)
    line = of_record(record)
    assert b"\n" not in line
    assert record_of(PLACE, line) == record


async def test_g5_a_row_of_any_values_comes_back() -> None:
    copied = (
        b'1\t\\N\tt\tf\ta\\tb\\\\c\\nd\\re\t\\\\x00ff\t{"a":\\n "\\\\u0000 \\\\n"}\t2026-11-22 01:02:03.4+00\n'
        b'-5\tnull\tf\tt\t\t\\\\x\t"text"\tinfinity\n'
    )
    columns = ("n", "nothing", "yes", "no", "text", "data", "json", "at")
    types = ("int8", "text", "bool", "bool", "text", "bytea", "json", "timestamptz")
    rows: list[Row] = []
    sink = FromCopy(columns, types, rows.append)
    for at in range(0, len(copied), 7):
        await sink(copied[at : at + 7])
    again = b"".join(to_copy(columns, frozenset({"json"}), row) for row in rows)
    assert again == copied.replace(b"\tt\tf\t", b"\ttrue\tfalse\t").replace(b"\tf\tt\t", b"\tfalse\ttrue\t")


def test_g5_a_part_of_any_length_is_read_in_little_memory(tmp_path: Path) -> None:
    count, line = 60_000, os.urandom(200).hex().encode()
    with (tmp_path / "part").open("wb") as file:
        writer = PartWriter(file, "s", "part", 1)
        for number in range(count):
            writer.line(line, number)
        part = writer.close()
    assert (part.rows, part.first, part.last) == (count, 0, count - 1)
    tracemalloc.start()
    with (tmp_path / "part").open("rb") as file:
        assert sum(1 for each in lines(file, part) if each == line) == count
    assert tracemalloc.get_traced_memory()[1] < len(line) * count / 4
    tracemalloc.stop()


def test_g5_what_follows_a_part_isnt_taken_for_it(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        first, second = PartWriter(file, "a", "a", 1), None
        first.line(b"1")
        one = first.close()
        second = PartWriter(file, "b", "b", 1)
        second.line(b"2")
        two = second.close()
    assert two.start == one.size
    with (tmp_path / "file").open("rb") as file:
        assert list(lines(file, one)) == [b"1"]
        assert list(lines(file, two)) == [b"2"]
    with (tmp_path / "file").open("rb") as file, pytest.raises(ArchiveError, match="The part b"):
        list(lines(file, two))


def test_g5_progress_with_another_log_stays_so() -> None:
    moved = Moved(shifts={PLACE: 5}, ids={"t": ("old", "new")})
    row: Row = {}
    for name, text in (("topic", b'"t"'), ("partition", b"3"), ("next_offset", b"7"), ("log_id", b'"old"')):
        row[name] = msgspec.Raw(text)
    told = moved("sync.progress", row)
    assert (bytes(told["next_offset"]), bytes(told["log_id"])) == (b"12", b'"new"')
    foreign = moved("sync.progress", {**row, "log_id": msgspec.Raw(b'"yet another"')})
    assert bytes(foreign["log_id"]) == b'"yet another"'
