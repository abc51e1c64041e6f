"""Whether a version that is locked has a known vulnerability: `make check` asks, a person decides.

The database is OSV's, which holds the Python advisories, too: https://google.github.io/osv.dev/post-v1-querybatch/.
Where it can't be asked, one loud line says so, and nothing fails unless CONTACTSYNC_AUDIT=strict.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx2
import msgspec

URL = "https://api.osv.dev"
LOCKS = Path(__file__).parents[2] / "requirements"
STRICT = "strict"
ACCEPTED: Mapping[str, str] = {}
"""Advisories that don't concern us: id -> why not. Each is for as long as it takes to get a version without it."""
_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)
_AT_ONCE = 500  # the service takes a thousand


class _Vulnerability(msgspec.Struct, frozen=True):
    id: str


class _Result(msgspec.Struct, frozen=True):
    vulns: tuple[_Vulnerability, ...] = ()


class _Answer(msgspec.Struct, frozen=True):
    results: tuple[_Result, ...]


class Pin(msgspec.Struct, frozen=True, order=True):
    """A package and its version, as a lock has them."""

    name: str
    version: str


class UnaskableError(Exception):
    """The database gave no answer. The text says why."""


def pins(texts: Sequence[str]) -> list[Pin]:
    """Everything that the locks pin, once."""
    return sorted({Pin(name.lower(), version) for text in texts for name, version in _PINNED.findall(text)})


def ask(url: str, asked: Sequence[Pin]) -> dict[Pin, tuple[str, ...]]:
    """The advisories on each of them that has any. Raises `UnaskableError`."""
    found: dict[Pin, tuple[str, ...]] = {}
    with httpx2.Client(timeout=httpx2.Timeout(20, connect=5)) as http:
        for part in _parts(asked):
            queries = [{"package": {"name": p.name, "ecosystem": "PyPI"}, "version": p.version} for p in part]
            try:
                response = http.post(f"{url}/v1/querybatch", json={"queries": queries})
                response.raise_for_status()
                results = msgspec.json.decode(response.content, type=_Answer).results
            except (httpx2.HTTPError, msgspec.MsgspecError) as error:
                raise UnaskableError(type(error).__name__) from None
            if len(results) != len(part):  # else everything after a gap would be another package's
                raise UnaskableError("it answered something else")
            for pin, result in zip(part, results, strict=True):
                if known := tuple(each.id for each in result.vulns if each.id not in ACCEPTED):
                    found[pin] = known
    return found


def main(url: str, texts: Sequence[str], *, strict: bool) -> int:
    """Say what there is; the exit status."""
    asked = pins(texts)
    try:
        found = ask(url, asked)
    except UnaskableError as error:
        sys.stderr.write(
            f"NOT AUDITED: the database of known vulnerabilities can't be asked ({error}); {len(asked)} versions "
            f"went unchecked.{'' if strict else ' CONTACTSYNC_AUDIT=strict makes this a failure.'}\n"
        )
        return int(strict)
    for pin, known in found.items():
        sys.stderr.write(f"{pin.name} {pin.version} has known vulnerabilities: {', '.join(known)}\n")
    if found:
        sys.stderr.write(
            "`make lock ARGS=--upgrade` brings newer versions; what is no concern of ours goes to ACCEPTED.\n"
        )
    else:
        sys.stdout.write(f"No known vulnerability in {len(asked)} locked versions.\n")
    return int(bool(found))


def _parts(asked: Sequence[Pin]) -> Iterator[Sequence[Pin]]:
    for start in range(0, len(asked), _AT_ONCE):
        yield asked[start : start + _AT_ONCE]


if __name__ == "__main__":
    locks = [lock.read_text() for lock in sorted(LOCKS.glob("*.lock"))]
    sys.exit(main(URL, locks, strict=os.environ.get("CONTACTSYNC_AUDIT", "") == STRICT))
