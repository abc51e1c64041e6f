"""What a stranger may guess at is compared in constant time: the time that a refusal takes tells nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SERVICES = Path(__file__).parents[2] / "services"
# Where texts from strangers meet secrets. Elsewhere only our own digests are compared, which nobody can send.
PLACES = ("ingest/*.py", "runtime/authorize/*.py", "connectors/*/verify.py", "connectors/*/certificate.py")
_SECRET = re.compile(
    r"secret|signature|token|password|digest|hmac|\bstate\b|verifier|credential|api_key", re.IGNORECASE
)
ACCEPTED = {
    # which endpoint of an app is meant, and not what it gave
    "there == way.token_url",
    # a word that says what a notification is about
    "delivery.header('x-goog-resource-state') == NO_NEWS",
    "delivery.header('x-goog-resource-state') not in STATES",
}


def comparisons(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Compare) or all(isinstance(each, ast.Is | ast.IsNot) for each in node.ops):
            continue
        sides = [node.left, *node.comparators]
        # A length, a number or a fixed word isn't what is guessed at.
        plain = any(isinstance(each, ast.Constant | ast.Call) and "len(" in ast.unparse(each) for each in sides)
        fixed = any(isinstance(each, ast.Constant) for each in sides)
        if not plain and not fixed and _SECRET.search(ast.unparse(node)):
            yield ast.unparse(node)


def test_no_secret_is_compared_by_an_operator() -> None:
    files = [path for place in PLACES for path in sorted(SERVICES.glob(place))]
    assert len(files) > 15
    found = {text for path in files for text in comparisons(path)}
    assert found <= ACCEPTED


def test_every_verifier_of_signatures_compares_in_constant_time() -> None:
    for path in sorted(SERVICES.glob("connectors/*/verify.py")):
        text = path.read_text("utf-8")
        assert "hmac.compare_digest(" in text, path
        assert re.search(r"\w+ \|= ", text), f"{path}: every secret is tried, whichever fits"
