"""The command line as people use it: a process of its own, its exit status, its sentences."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid5

import msgspec
import pytest

from services.cli import main
from services.contracts.envelope import NAMESPACE
from services.runtime.registry import read
from services.runtime.store import Store
from services.runtime.store.embedded import EmbeddedPostgres
from services.sync.core.state import Half, Hold, Link

REPOSITORY = Path(__file__).resolve().parents[2]
FILE = """\
accounts:
  shop: {app: stripe, api_key: ${SHOP_KEY}, webhook_secrets: ["${SHOP_HOOK}"]}
  till: {app: stripe, api_key: ${TILL_KEY}, webhook_secrets: ["${SHOP_HOOK}"]}
connections:
  shop-till: {left: shop, right: till}
"""
SECRETS = {"SHOP_KEY": "rk_test_canary1", "TILL_KEY": "rk_test_canary2", "SHOP_HOOK": "whsec_canary"}


class Shell:
    """Runs `contactsync …` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.extra: dict[str, str] = {}

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CONTACTSYNC_")}
        paths = os.pathsep.join(filter(None, [str(REPOSITORY), *sys.path]))
        settings = {"PYTHONPATH": paths, "CONTACTSYNC_DATA_DIR": str(self.data), "COLUMNS": "200"}
        done = subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={**kept, **settings, **SECRETS, **self.extra},
            timeout=120,
            check=False,
        )
        for text in (done.stdout, done.stderr):
            assert "Traceback" not in text
            assert "canary" not in text
        return done

    def answer(self, *arguments: str, stdin: str = "") -> str:
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def shell(open_folder: Path) -> Iterator[Shell]:
    folder = Path(tempfile.mkdtemp(dir=open_folder))
    folder.chmod(0o755)
    (folder / "contacts.yaml").write_text(FILE)
    yield Shell(folder)
    shutil.rmtree(folder)


def test_a_file_with_mistakes_is_told_like_a_compiler_does(shell: Shell) -> None:
    (shell.folder / "contacts.yaml").write_text(FILE.replace("right: till", "rihgt: till"))
    done = shell.run("check", "contacts.yaml")
    assert done.returncode == 1
    assert done.stderr.splitlines()[:4] == [
        "contacts.yaml:3:3: warning: no connection uses account `till`",
        "  → Remove it, or name it in a connection.",
        "contacts.yaml:5:3: error: connection `shop-till` has no right",
        "  → Add `right: shop`.",
    ]
    assert "contacts.yaml:5:27: error: connection `shop-till` has no key `rihgt`" in done.stderr
    assert done.stdout == ""


def test_the_bundled_store_is_there_for_a_commands_duration(shell: Shell) -> None:
    assert shell.answer("apply", "contacts.yaml").splitlines() == [
        "contacts.yaml is in force (version 1).",
        "  account shop: new",
        "  account till: new",
        "  connection shop-till: new",
        "  credential shop.api_key: stored",
        "  credential shop.webhook_secrets: stored",
        "  credential till.api_key: stored",
        "  credential till.webhook_secrets: stored",
    ]
    assert shell.answer("apply", "/dev/stdin", stdin=FILE) == "/dev/stdin is in force already: nothing changed.\n"
    assert not (shell.data / "postgres" / "postmaster.pid").exists()
    missing = shell.run("pause", "shop-tiel")
    assert (missing.returncode, missing.stderr) == (
        1,
        "There is no connection shop-tiel. Did you mean shop-till?\n",
    )


async def test_a_running_contactsync_is_asked_instead_of_starting_another(shell: Shell) -> None:
    async with EmbeddedPostgres(shell.data) as server:
        behind = shell.run("apply", "contacts.yaml")
        assert behind.returncode == 1
        assert "Run `contactsync migrate`" in behind.stderr
        assert "applied 0001_registry.sql" in shell.answer("migrate")
        assert shell.answer("migrate") == "The database is up to date.\n"
        shell.answer("apply", "contacts.yaml")
        shell.answer("pause", "shop-till")
        async with Store.open(server.dsn) as store, store.transaction(readonly=True) as database:
            ((connection, version, paused),) = await read.connections(database)
    assert (connection.name, version, paused) == ("shop-till", 1, True)


async def test_p12_a_restored_database_and_another_log_are_taken_over_by_a_persons_word(shell: Shell) -> None:
    async with EmbeddedPostgres(shell.data) as server:
        shell.answer("migrate")
        shell.answer("apply", "contacts.yaml")
        assert "(incarnation 2). Writes without an answer: 0" in shell.answer("migrate", "--restored")
        assert shell.answer("log", "adopt").startswith("The log is the one that was worked on all along")
        async with Store.open(server.dsn) as store:
            assert await store.fetchval("SELECT n FROM registry.incarnation") == 2
            await store.execute(
                "INSERT INTO sync.progress (grp, topic, partition, epoch, next_offset, log_id) "
                "VALUES ('sync', 'contacts.events', 1, 4, 99, 'another log')"
            )
            adopted = shell.answer("log", "adopt")
            row = await store.fetchrow("SELECT epoch, next_offset, log_id <> 'another log' AS known FROM sync.progress")
    assert adopted.startswith("contacts.events: taken as it is now, from its first message\n")
    assert row is not None
    assert tuple(row) == (5, 0, True)


async def test_g1_status_shows_health_waits_scans_and_troubles(shell: Shell) -> None:
    async with EmbeddedPostgres(shell.data) as server:
        shell.answer("migrate")
        assert shell.answer("status") == "There are no connections: `contactsync apply FILE` brings some.\n"
        assert shell.answer("held", "list") == "Nothing waits for a yes.\n"
        shell.answer("apply", "contacts.yaml")
        async with Store.open(server.dsn) as store:
            await fill(store)
            shown = shell.answer("status")
            found = msgspec.json.decode(shell.answer("status", "--json"))
            held = shell.answer("held", "list")
            nothing = shell.run("held", "reject", "00000000")
            assert shell.answer("resume", "shop-till") == "shop-till goes on, with the newest values.\n"
    # Spaces are the columns' business.
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert "shop-till shop <-> till (paused) 1 0 0 0 0 1 0" in lines
    assert "shop-till paused 1 2 h `contactsync resume` lets it go on" in lines
    assert "shop stripe page 4, 300 contacts so far, 0.5/s 1 min" in lines
    assert "till stripe not begun -" in lines
    assert "shop the feed answered 503 1 min it is asked again by itself" in lines
    told = "`contactsync authorize till`, or apply the file with a new credential"
    assert f"till its credentials are refused (401) 3 h {told}" in lines
    assert found["connections"][0]["health"]["in_sync"] == 1
    assert found["connections"][0]["paused"] is True
    assert found["accounts"][0]["scan"]["contacts"] == 300
    assert "email of cus_2 in till becomes ada@example.com" in held
    assert nothing.returncode == 1
    assert nothing.stderr == "Nothing with the id 00000000 waits. `contactsync held list` shows what does.\n"


async def fill(store: Store) -> None:
    """A connection in the middle of its life: paused, one pair in step, one waiting, one with a held change."""
    await store.execute("UPDATE registry.connection SET paused_at = now()")
    await store.execute(
        """
        INSERT INTO ingest.cursor (account, state, poll_number, scan_number, scan_started_at, scan_pages, scan_count,
            next_poll_at, last_ok_at, trouble_since, trouble_count, last_trouble)
        VALUES ('shop', 'scanning', 0, 1, now() - interval '10 min', 3, 300, now(), now() - interval '90 s',
            now() - interval '100 s', 2, 'the feed answered 503')
        """
    )
    await store.execute(
        "INSERT INTO connectors.account (account, revoked_at, reason) VALUES ('till', now() - interval '200 m', '401')"
    )
    waiting = Half(contact_id="cus_2", held={"email": Hold(value="ada@example.com", since=1_700_000_000_000_000)})
    for number, (status, reason, holds, right) in enumerate(
        [
            ("active", None, 0, Half(contact_id="cus_1")),
            ("pairing", "paused", 0, Half()),
            ("active", None, 1, waiting),
        ]
    ):
        link = Link(
            id=str(uuid5(NAMESPACE, str(number))),
            connection="shop-till",
            left=Half(contact_id=f"left_{number}"),
            right=right,
            status="active" if status == "active" else "pairing",
        )
        await store.execute(
            """
            INSERT INTO sync.link (id, connection, left_id, right_id, status, wait_reason, wait_on, wait_since,
                config_version, holds, refusals, unsettled, state, updated_at)
            VALUES ($1, 'shop-till', $2, $3, $4, $5::text, '', CASE WHEN $5::text IS NULL THEN NULL
                ELSE now() - interval '150 min' END, 1, $6, 0, 0, $7, now())
            """,
            link.id,
            link.left.contact_id,
            right.contact_id,
            status,
            reason,
            holds,
            msgspec.json.encode(link).decode(),
        )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chek"], 'Did you mean "check"?'),
        (["check"], "requires an argument"),
        (["run", "foo"], 'Invalid value "foo"'),
        (["run", "--app", "nope"], "There is no app nope. The apps are "),
        (["run", "sync", "--app", "stripe"], "--app narrows connectors"),
    ],
)
def test_a_wrong_call_ends_with_2_and_a_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "none.yaml")]) == 1
    assert capsys.readouterr().err == f"{tmp_path / 'none.yaml'} can't be read: No such file or directory.\n"
    assert main(["check", str(tmp_path)]) == 1
    assert "can't be read: Is a directory." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"CONTACTSYNC_STORE_URL": "postgresql://127.0.0.1:1/none"}, "Is what it leads to running?"),
        ({"CONTACTSYNC_STORE_URL": "mysql://canary"}, "CONTACTSYNC_STORE_URL: must start with postgresql://"),
        ({"CONTACTSYNC_LISTEN": "nowhere"}, "CONTACTSYNC_LISTEN: must be host:port"),
    ],
)
def test_wrong_settings_are_a_sentence(shell: Shell, settings: dict[str, str], said: str) -> None:
    shell.extra = settings
    done = shell.run("migrate")
    assert done.returncode == 1
    assert said in done.stderr


def test_help_and_version_are_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in ("apply", "check", "demo", "held", "migrate", "pause", "resume", "run", "status"):
        assert f" {command} " in shown
