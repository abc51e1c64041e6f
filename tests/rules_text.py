"""Files with rules between two accounts, and what `check` says of them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from services.connectors import discover
from services.contracts.app import Manifest
from services.contracts.rule import Rule
from services.runtime.registry.check import Checked, check

MANIFESTS: Mapping[str, Manifest] = {name: app.manifest for name, app in discover().items()}
ACCOUNTS = {
    "stripe": "{app: stripe, api_key: '${KEY}', webhook_secrets: ['${HOOK}']}",
    "google_contacts": "{app: google_contacts, client_id: '${S}', client_secret: '${S}', refresh_token: '${S}'}",
    "carddav": "{app: carddav, url: 'https://dav.example.com/', username: ada, password: '${S}'}",
    "quickbooks": "{app: quickbooks, client_id: '${S}', client_secret: '${S}', refresh_token: '${S}', realm_id: '1'}",
}
ENVIRON = {"KEY": "sk_test_1", "HOOK": "whsec_12345678", "S": "secret", "PLAN": "price_canary"}
FIRST = 9
"""The line on which the first rule stands, where there are no further keys."""


def file(rules: str, left: str = "stripe", right: str = "google_contacts", keys: str = "") -> str:
    """A file with these rules between `one` and `two`; `keys`: further lines of the connection."""
    head = f"accounts:\n  one: {ACCOUNTS[left]}\n  two: {ACCOUNTS[right]}\n"
    pair = f"connections:\n  pair:\n    left: one\n    right: two\n{textwrap.indent(keys, '    ')}    rules:\n"
    return f"{head}{pair}{textwrap.indent(textwrap.dedent(rules), '      ')}\n"


def checked(text: str) -> Checked:
    return check(text, MANIFESTS, ENVIRON)


def told(text: str) -> list[str]:
    """The problems that are worth more than a hint."""
    return [
        f"{each.line}:{each.column} {each.severity} {each.message} → {each.remedy}"
        for each in checked(text).problems
        if each.severity != "hint"
    ]


def only(text: str) -> str:
    (found,) = told(text)
    return found


def rules(text: str) -> tuple[Rule, ...]:
    config = checked(text).config
    assert config, told(text)
    return config.connections[0].rules
