"""Every app against every check of the conformance suite."""

from pathlib import Path

import pytest

from services.connectors import discover
from services.connectors.testing import SUITE, Check, run
from tests.conformance.benches import BENCHES


def test_every_app_has_a_bench() -> None:
    assert sorted(BENCHES) == sorted(discover())


@pytest.mark.parametrize("check", SUITE, ids=str)
@pytest.mark.parametrize("app", discover())
async def test_conforms(app: str, check: Check, tmp_path: Path) -> None:
    async with BENCHES[app](tmp_path) as bench:
        if reason := await run(check, bench):
            pytest.skip(reason)
