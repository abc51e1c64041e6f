"""What holds for the repository as a whole: its locks, its names, its sizes."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
MAX_LINES = 320

# Put together from pieces, so that this file holds none of them itself.
REGISTRY_HOSTS = (
    "pypi" + ".org",
    "python" + "hosted.org",
    "registry." + "npmjs.org",
    "proxy." + "golang.org",
    "repo1." + "maven.org",
    "repo" + ".maven.apache.org",
)
MACHINE_PATHS = re.compile(
    r"(?<![\w.$}~-])/(?:" + "|".join(("ho" + r"me/\w", "Use" + r"rs/\w", "ro" + r"ot/\w", "wo" + "rk/")) + ")"
)


def requirements(lock: Path) -> list[str]:
    """Read a lock's requirements, each as one line."""
    joined = lock.read_text("utf-8").replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def pins(lock: Path) -> set[tuple[str, str]]:
    """Read a lock's (name, version) pairs; a name has two where platforms differ."""
    found: set[tuple[str, str]] = set()
    for line in requirements(lock):
        name, _, version = line.split()[0].partition("==")
        found.add((name, version))
    return found


def canonical(requirement: str) -> str:
    """Reduce a requirement to its package's name as locks spell it."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, f"not a requirement: {requirement!r}"
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def project() -> dict[str, list[str]]:
    """Read pyproject.toml's project table."""
    loaded: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return loaded


def our_files() -> list[Path]:
    """List the files that are tracked or about to be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: nothing says which files are ours")
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_address_and_pins_every_requirement_with_a_hash(lock: Path) -> None:
    assert "://" not in lock.read_text("utf-8")
    lines = requirements(lock)
    assert lines
    assert [line for line in lines if not re.match(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", line)] == []


def test_every_dependency_is_locked() -> None:
    development = [
        line for line in (ROOT / "requirements" / "dev.in").read_text("utf-8").splitlines() if not line.startswith("#")
    ]
    runtime = {canonical(requirement) for requirement in project()["dependencies"]}
    locked = {name for name, _ in pins(ROOT / "requirements" / "runtime.lock")}
    assert runtime - locked == set(), "run make lock"
    wanted = runtime | {canonical(line) for line in development}
    assert wanted - {name for name, _ in pins(ROOT / "requirements" / "dev.lock")} == set(), "run make lock"


@pytest.mark.parametrize("part", ["runtime.lock", "bootstrap.lock"])
def test_what_runs_is_what_was_tested(part: str) -> None:
    assert pins(ROOT / "requirements" / part) - pins(ROOT / "requirements" / "dev.lock") == set()


@pytest.mark.parametrize("opening", ["dependencies = [", "ignore = ["])
def test_every_dependency_and_every_ignored_rule_says_why(opening: str) -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    block = text.partition(f"\n{opening}\n")[2].partition("\n]")[0].splitlines()
    assert block
    assert [line for line in block if not re.match(r'\s*"[^"]+",\s+# \S+', line)] == []


def test_every_development_dependency_says_why() -> None:
    lines = (ROOT / "requirements" / "dev.in").read_text("utf-8").splitlines()
    assert [line for line in lines if "# " not in line] == []


def test_no_file_names_a_package_registry_or_a_path_of_one_machine() -> None:
    found: list[str] = []
    for path in our_files():
        text = path.read_bytes().decode("utf-8", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATHS.search(line) or any(host in line for host in REGISTRY_HOSTS):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_no_module_is_too_long_to_read_at_once() -> None:
    sizes = {
        str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines())
        for path in sorted((ROOT / "services").rglob("*.py"))
    }
    assert {name: lines for name, lines in sizes.items() if lines > MAX_LINES} == {}
