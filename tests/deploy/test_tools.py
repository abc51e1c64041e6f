"""What `make manifests` checks with is brought, or named as missing; it never stops the checks that can be made."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.deploy.rendered import DEPLOY, ROOT
from tests.test_repository import pins


def test_what_cannot_be_had_is_named_in_a_line_each(tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("bash", "dirname", "mktemp", "mkdir", "mv", "rm", "touch"):
        found = shutil.which(name)
        assert found is not None
        (bare / name).symlink_to(found)
    (tmp_path / "deploy").mkdir()
    script = tmp_path / "deploy" / "tools"
    shutil.copy(DEPLOY / "tools", script)
    done = subprocess.run(
        [script], env={"PATH": str(bare), "TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert [re.split(r"[ :]+", line.partition(": ")[2])[0] for line in lines] == [
        "kubernetes-validate",
        "promtool",
        "kubectl",
    ]
    assert all(line.startswith("WHAT IS DEPLOYED WON'T BE CHECKED WHOLLY: ") for line in lines)


def test_the_validator_s_versions_are_development_s_where_both_have_a_package() -> None:
    theirs = pins(ROOT / "requirements" / "manifests.lock")
    ours = pins(ROOT / "requirements" / "dev.lock")
    shared = {name for name, _ in theirs} & {name for name, _ in ours}
    assert "pyyaml" in shared
    assert {pin for pin in theirs if pin[0] in shared} <= ours, "run make lock"
