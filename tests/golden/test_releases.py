"""Old and new side by side: each release reads what the other writes, as during a rolling update."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.contracts.envelope import TYPES, Envelope, from_headers, unseal
from tests.core.test_contracts_golden import GOLDEN, MESSAGES, golden_headers
from tests.golden.released import FOLDER, Release, present, releases, unreadable

FILES = releases()
NAMES = [path.stem for path in FILES]


def read(path: Path) -> Release:
    found: Release = json.loads(path.read_text("utf-8"))
    return found


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_what_is_written_now_a_former_release_reads(path: Path) -> None:
    assert unreadable(present(), read(path)) == []


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_what_a_former_release_wrote_is_read_now(path: Path) -> None:
    former = read(path)
    assert unreadable(former, present()) == []
    assert set(former["types"]) <= set(TYPES), "messages of a type that is gone are still in somebody's log"


def test_there_is_a_release_to_hold_against() -> None:
    assert FILES, f"none in {FOLDER}: python -m tests.golden.released"


@pytest.mark.parametrize("name", sorted(TYPES))
def test_what_a_newer_release_adds_to_a_message_is_passed_over(name: str) -> None:
    body = GOLDEN / f"v{TYPES[name][0]}" / f"{name}.json"
    rows = golden_headers(body.with_suffix(".headers"))
    richer = _richer(json.loads(body.read_bytes()))
    envelope = from_headers((*rows, ("x-new", b"1")), json.dumps(richer).encode())
    assert isinstance(envelope, Envelope)
    told = unseal(envelope)
    # The app's own object is raw: what stands in it is the app's.
    assert _plain(told) == _plain(MESSAGES[name])


def _richer(value: Any) -> Any:
    """The same with a field that nobody knows in every struct of ours."""
    if isinstance(value, list):
        return [_richer(each) for each in value]
    if not isinstance(value, dict):
        return value
    # Values by an app's own paths, and the app's own object, aren't structs.
    free = {"fields", "expected", "prior", "object"}
    return {key: inner if key in free else _richer(inner) for key, inner in value.items()} | {"added_later": {"a": [1]}}


def _plain(message: Any) -> Any:
    return json.loads(msgspec.json.encode(message))


SPOILT: dict[str, Callable[[Release], Any]] = {
    "a field that may be missing now": lambda new: _field(new, "Aim", "side").update(always=False),
    "a word that nobody knew": lambda new: _field(new, "Aim", "side")["shape"]["one"].append("middle"),
    "another type": lambda new: _field(new, "Aim", "config_version").update(shape="str"),
    "elements in other places": lambda new: new["structs"]["Version"]["fields"].reverse(),
    "another tag": lambda new: new["structs"]["Written"].update(tag="done"),
    "a field that went": lambda new: new["structs"]["Find"]["fields"].pop(),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_change_that_a_former_release_cannot_read_is_found(how: str) -> None:
    newer = copy.deepcopy(present())
    SPOILT[how](newer)
    assert len(unreadable(newer, present())) >= 1


def test_a_field_more_is_no_such_change() -> None:
    newer = copy.deepcopy(present())
    newer["structs"]["Find"]["fields"].append({"name": "new", "required": False, "always": True, "shape": "str"})
    assert unreadable(newer, present()) == []
    assert unreadable(present(), newer) == []


def _field(release: Release, struct: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in release["structs"][struct]["fields"] if each["name"] == name)
    return found
