"""The audit of dependencies, against a database of known vulnerabilities on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.security.audit import LOCKS, Pin, main, pins

LOCK = "ours==1.0 \\\n    --hash=sha256:0\nTheirs[extra]==2.3.post1 ; python_version < '4' \\\n    --hash=sha256:1\n"


class Database(ThreadingHTTPServer):
    """Answers what it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.known: dict[str, list[str]] = {}
        self.answer: bytes | None = None
        self.asked: list[Any] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Database

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["queries"]
        self.server.asked += asked
        results = [
            {"vulns": [{"id": each, "modified": "2026-01-01T00:00:00Z"} for each in known]} if known else {}
            for known in (self.server.known.get(query["package"]["name"], []) for query in asked)
        ]
        body = self.server.answer or json.dumps({"results": results}).encode()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Database() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_every_pinned_version_is_asked_about(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    assert pins([LOCK, LOCK]) == [Pin("ours", "1.0"), Pin("theirs", "2.3.post1")]
    assert main(database.url, [LOCK], strict=True) == 0
    assert [(each["package"]["name"], each["version"]) for each in database.asked] == [
        ("ours", "1.0"),
        ("theirs", "2.3.post1"),
    ]
    assert "No known vulnerability in 2 locked versions" in capsys.readouterr().out
    assert len(pins([lock.read_text() for lock in LOCKS.glob("*.lock")])) > 50


@pytest.mark.parametrize("strict", [False, True])
def test_a_known_vulnerability_fails(database: Database, capsys: pytest.CaptureFixture[str], strict: bool) -> None:
    database.known["theirs"] = ["GHSA-1", "PYSEC-2"]
    assert main(database.url, [LOCK], strict=strict) == 1
    assert "theirs 2.3.post1 has known vulnerabilities: GHSA-1, PYSEC-2" in capsys.readouterr().err


@pytest.mark.parametrize("answer", [b"<html>", b'{"results": [{}]}', b'{"results": [{}, {}]}'])
def test_without_an_answer_it_says_so_loudly(
    database: Database, capsys: pytest.CaptureFixture[str], answer: bytes
) -> None:
    database.answer, database.status = answer, 200 if b"}]}" in answer and b", " not in answer else 503
    assert main(database.url, [LOCK], strict=False) == 0
    assert "NOT AUDITED" in capsys.readouterr().err
    assert main(database.url, [LOCK], strict=True) == 1
    assert main("http://nobody.invalid", [LOCK], strict=False) == 0
