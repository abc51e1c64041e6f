"""Taking a remedy away: what isn't there any more is noticed, and a process does without what it was told to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.without.remedies import REMEDIES, take_away
from tests.faults.without.remedy import WITHOUT, replace

ROOT = Path(__file__).resolve().parents[3]


class Product:
    constant = "SELECT 1 FOR UPDATE"

    def function(self) -> int:
        return 1


def test_what_was_named_is_replaced() -> None:
    replace(Product, "function", lambda function: lambda self: function(self) + 1)
    assert Product().function() == 2


def test_a_remedy_that_has_moved_is_noticed() -> None:
    with pytest.raises(LookupError, match="Product has no lock any more"):
        replace(Product, "lock", lambda _: None)
    with pytest.raises(LookupError, match="constant is as before"):
        replace(Product, "constant", lambda text: text.replace(" FOR SHARE", ""))


def test_a_remedy_that_there_is_not_is_refused() -> None:
    with pytest.raises(LookupError, match="there is no remedy locks; there are fence, ledger, "):
        take_away("locks")


def test_none_is_taken_away_where_nothing_is_said() -> None:
    take_away("")
    assert len(REMEDIES) == 12


@pytest.mark.parametrize(("name", "status", "said"), [("fence", 0, "stripe"), ("locks", 1, "there is no remedy locks")])
def test_a_role_s_process_does_without_what_its_environment_names(name: str, status: int, said: str) -> None:
    command = [sys.executable, "-m", "tests.faults.without", "apps"]
    ended = subprocess.run(
        command, cwd=ROOT, env={**os.environ, WITHOUT: name}, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == status
    assert said in ended.stdout + ended.stderr
