"""The campaign notices what a log line may not tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.logs import leaks
from tests.faults.model import FIELDS, worded


@pytest.mark.parametrize("told", [*(worded(name, 4711) for name in FIELDS), "p3-14@example.com", "sk_test_secret"])
def test_a_line_with_a_contacts_data_or_a_secret_is_found(tmp_path: Path, told: str) -> None:
    (tmp_path / "sync-0.log").write_text(
        f'{{"event": "started"}}\n{{"event": "written", "error": "of {told}, twice"}}\n'
    )
    read, found = leaks(tmp_path, ["sk_test_secret"])
    assert read == 2
    assert [each.about for each in found] == ["line 2"]
    assert told not in str(found[0])
