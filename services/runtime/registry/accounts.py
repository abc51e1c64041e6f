"""The `accounts` part of the file, against the apps' manifests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from services.contracts.app import Credential, Manifest, Setting
from services.contracts.connection import Account
from services.runtime.registry.document import Entry, Items, Node, Table, Text
from services.runtime.registry.form import Form
from services.runtime.registry.problem import Mark, Report, listed, nearest, quoted

EXAMPLE = "`accounts:` with a line per account, such as `shop: {app: stripe, api_key: ${STRIPE_API_KEY}}`"


@dataclass(frozen=True, slots=True)
class CheckedAccount:
    """An account as the file has it."""

    account: Account
    mark: Mark
    manifest: Manifest | None
    """None where the app is unknown: said already."""
    credentials: Mapping[str, tuple[str, ...]] = field(repr=False)


class Accounts:
    """Reads accounts. `secrets` collects where secrets stand in the text itself, `lacking` who lacks credentials.

    `stored`: account -> keys of the credentials that it has already, and that the file may leave out.
    """

    def __init__(
        self, form: Form, manifests: Mapping[str, Manifest], stored: Mapping[str, AbstractSet[str]] | None = None
    ) -> None:
        self._form = form
        self._report: Report = form.report
        self._manifests = manifests
        self._stored = stored or {}
        self.secrets: list[tuple[int, int]] = []
        self.lacking: set[str] = set()

    def read(self, node: Node) -> dict[str, CheckedAccount]:
        """Every account under its name, with or without mistakes."""
        table = self._form.table(node, "`accounts`", EXAMPLE)
        return {entry.key: self._account(entry) for entry in table.entries} if table else {}

    def _account(self, entry: Entry) -> CheckedAccount:
        name = self._form.name(entry, "an account")
        what = f"account {quoted(name)}"
        table = self._form.table(entry.value, what, f"`{{app: {self._any_app()}, …}}`")
        manifest = self._manifest(table, what, entry.mark) if table else None
        settings: dict[str, str] = {}
        credentials: dict[str, tuple[str, ...]] = {}
        if table and manifest:
            known = ["app", *(c.key for c in manifest.credentials), *(s.key for s in manifest.settings)]
            self._form.keys(table, what, known, {})
            for credential in manifest.credentials:
                if values := self._credential(table, entry.mark, name, manifest, credential):
                    credentials[credential.key] = values
            for setting in manifest.settings:
                if value := self._setting(table, entry.mark, name, setting):
                    settings[setting.key] = value
        account = Account(name=name, app=manifest.name if manifest else "", settings=settings)
        return CheckedAccount(account, entry.mark, manifest, credentials)

    def _any_app(self) -> str:
        return next(iter(sorted(self._manifests)), "stripe")

    def _manifest(self, table: Table, what: str, mark: Mark) -> Manifest | None:
        entry = table.get("app")
        if entry is None:
            self._form.missing(mark, what, "app", self._any_app())
            return None
        text = self._form.text(entry.value, f"`app` of {what}", listed(sorted(self._manifests), "or"))
        if text is None:
            return None
        if manifest := self._manifests.get(text.value):
            return manifest
        meant = nearest(text.written, sorted(self._manifests))
        self._report.error(
            text.mark,
            f"there is no app {quoted(text.written)}",
            f"Did you mean `{meant}`?" if meant else f"Write {listed(sorted(self._manifests), 'or')}.",
        )
        return None

    def _credential(
        self, table: Table, mark: Mark, name: str, manifest: Manifest, credential: Credential
    ) -> tuple[str, ...]:
        variable = f"{name}_{credential.key}".upper().replace("-", "_")
        reference = f"${{{re.sub(r'[^A-Z0-9_]', '_', variable)}}}"
        what = f"{quoted(credential.key)} of account {quoted(name)}"
        entry = table.get(credential.key)
        if entry is None:
            if credential.required and credential.key not in self._stored.get(name, ()):
                self.lacking.add(name)
                self._report.error(
                    mark,
                    f"account {quoted(name)} has no {credential.key} ({credential.title})",
                    f"Add `{credential.key}: {reference}`.",
                )
            return ()
        node = entry.value
        many = isinstance(node, Items) and credential.many
        example = f"`[{reference}]`" if many else f"`{reference}`"
        nodes = list(node.items) if isinstance(node, Items) and many and node.items else [node]
        values: list[str] = []
        for item in nodes:
            if (text := self._form.text(item, what, example)) is None:
                self._note_secrets(item)
                continue
            self._secret(text, credential, manifest, what, reference)
            values.append(text.value)
        return tuple(dict.fromkeys(values))

    def _secret(self, text: Text, credential: Credential, manifest: Manifest, what: str, reference: str) -> None:
        if text.plain_secret:
            self.secrets.append(text.span)
            self._report.warning(
                text.mark,
                f"{what} is written into the file itself",
                f"Write `{reference}` and set that variable.",
            )
        if text.value != text.value.strip() or any(not character.isprintable() for character in text.value):
            self._report.error(
                text.mark,
                f"{what} has a line break, or spaces at its ends",
                "Copy it again, without anything around it.",
            )
        elif credential.pattern and not re.fullmatch(credential.pattern, text.value):
            self._report.error(
                text.mark,
                f"{what} doesn't look like one of {manifest.title}'s ({credential.title})",
                f"Copy it again from {manifest.title}; it has the form {quoted(credential.pattern)}.",
            )

    def _note_secrets(self, node: Node) -> None:
        """A credential of the wrong shape isn't kept in the text either."""
        match node:
            case Text():
                self.secrets.append(node.span)
            case Items():
                for item in node.items:
                    self._note_secrets(item)
            case Table():
                for entry in node.entries:
                    self._note_secrets(entry.value)

    def _setting(self, table: Table, mark: Mark, name: str, setting: Setting) -> str | None:
        what = f"{quoted(setting.key)} of account {quoted(name)}"
        example = setting.example or setting.default or "…"
        entry = table.get(setting.key)
        if entry is None:
            if setting.required:
                self._report.error(
                    mark,
                    f"account {quoted(name)} has no {setting.key} ({setting.title})",
                    f"Add `{setting.key}: {example}`.",
                )
            return setting.default or None
        text = self._form.text(entry.value, what, f"`{example}`")
        if text is None:
            return None
        if any(known.startswith(("http://", "https://")) for known in (setting.example, setting.default)):
            self._url(text, what, example, setting.pattern)
        elif setting.pattern and not re.fullmatch(setting.pattern, text.value):
            self._report.error(
                text.mark,
                f"{what} ({setting.title}) isn't what it should be",
                f"Write it like `{example}`." if example != "…" else f"It has the form {quoted(setting.pattern)}.",
            )
        return text.value

    def _url(self, text: Text, what: str, example: str, pattern: str) -> None:
        """Nothing of the address is printed: people put passwords into it."""
        try:
            parts = urlsplit(text.value)
            usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or not text.value.isprintable() or " " in text.value:
            self._report.error(text.mark, f"{what} isn't a web address", f"Write it like `{example}`.")
        elif parts.username is not None or parts.password is not None:
            self._report.error(
                text.mark,
                f"{what} has a user name or a password in it",
                "Write the address alone; user name and password have keys of their own.",
            )
        elif pattern and not re.fullmatch(pattern, text.value):
            self._report.error(
                text.mark,
                f"{what} isn't an address that can be used"
                + (": it isn't encrypted, and leads out of this machine" if parts.scheme == "http" else ""),
                f"Write it like `{example}`.",
            )
        elif not pattern and parts.scheme == "http" and not _loopback(parts.hostname or ""):
            self._report.warning(
                text.mark,
                f"{what} isn't encrypted: passwords and contacts can be read on the way",
                "Write `https://…`.",
            )


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
