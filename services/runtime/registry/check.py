"""Checking a connections file: all its problems at once, and what it says if it has no errors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from services.contracts.app import Manifest
from services.contracts.connection import Account, Connection
from services.runtime.registry import accounts as account_part
from services.runtime.registry import connections as connection_part
from services.runtime.registry.accounts import Accounts
from services.runtime.registry.connections import Connections
from services.runtime.registry.document import Node, parse
from services.runtime.registry.form import Form
from services.runtime.registry.plans import Known
from services.runtime.registry.problem import Mark, Problem, Report, quoted, rendered

__all__ = ["Checked", "Config", "Problem", "check", "decoded", "rendered"]

_TOP = Mark(1, 1)
_REMOVED = '"(removed)"'


@dataclass(frozen=True, slots=True)
class Config:
    """A file without errors."""

    accounts: tuple[Account, ...]
    connections: tuple[Connection, ...]
    credentials: Mapping[str, Mapping[str, tuple[str, ...]]] = field(repr=False)
    """Account -> key -> values, resolved: secrets."""
    source: str
    """The text as it was written; secrets that stood in it are replaced by "(removed)"."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found. With an error among the problems, there is no config."""

    config: Config | None
    problems: tuple[Problem, ...]
    lacking: frozenset[str] = frozenset()
    """Accounts that lack a credential, in the file and among those stored."""


def decoded(raw: bytes) -> str | Problem:
    """A file's bytes as text. A file that isn't UTF-8 is a problem with its line."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        return Problem(line, column, "error", "the file isn't UTF-8 text here", "Save it as UTF-8.")


def check(
    text: str,
    manifests: Mapping[str, Manifest],
    environ: Mapping[str, str],
    stored: Mapping[str, AbstractSet[str]] | None = None,
    seen: Mapping[str, AbstractSet[str]] | None = None,
    plans: Mapping[str, Known] | None = None,
) -> Checked:
    """Read `text` against the apps' manifests, with `${NAME}` from `environ`. No text makes it raise.

    `stored` (account -> keys) are credentials that needn't be in the file, as `contactsync authorize` stored them;
    `seen` (account -> keys) the custom fields that an account's contacts have, where they are known;
    `plans` (account -> what is known) its plans.
    """
    text = text.removeprefix("\ufeff")
    report = Report()
    node = parse(text, environ, report)
    form = Form(report)
    reader = Accounts(form, manifests, stored)
    config = _config(node, text, reader, form, seen, plans) if node else None
    return Checked(None if report.failed else config, report.problems(), frozenset(reader.lacking))


def _config(
    node: Node,
    text: str,
    reader: Accounts,
    form: Form,
    seen: Mapping[str, AbstractSet[str]] | None,
    plans: Mapping[str, Known] | None,
) -> Config | None:
    report = form.report
    example = "`accounts:` and `connections:`"
    top = form.table(node, "the file", example)
    if top is None:
        return None
    form.keys(top, "the file", ["accounts", "connections"], {})
    if missing := [key for key in ("accounts", "connections") if top.get(key) is None]:
        examples = {"accounts": account_part.EXAMPLE, "connections": connection_part.EXAMPLE}
        for key in missing:
            report.error(_TOP, f"the file has no {quoted(key)}", f"Add {examples[key]}.")
    accounts_entry, connections_entry = top.get("accounts"), top.get("connections")
    accounts = reader.read(accounts_entry.value) if accounts_entry else {}
    connections: tuple[Connection, ...] = ()
    if connections_entry:
        pairs = Connections(form, accounts, seen, plans)
        connections = pairs.read(connections_entry.value)
        for name, account in accounts.items():
            if name not in pairs.used:
                report.warning(
                    account.mark,
                    f"no connection uses account {quoted(name)}",
                    "Remove it, or name it in a connection.",
                )
    return Config(
        accounts=tuple(checked.account for checked in accounts.values()),
        connections=connections,
        credentials={name: checked.credentials for name, checked in accounts.items()},
        source=_without(text, reader.secrets),
    )


def _without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """`text` with those stretches replaced, comments that repeat them included."""
    stretches = sorted(set(spans), reverse=True)
    secrets = {text[start:end].strip("'\" \n") for start, end in stretches}
    for start, end in stretches:
        tail = "\n" if text[start:end].endswith("\n") else ""
        text = text[:start] + _REMOVED + tail + text[end:]
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 8:
            text = re.sub(re.escape(secret), "(removed)", text)
    return text
