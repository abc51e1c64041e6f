"""Accounts as people see them: they know a contact whose address is gone, and don't mind an address's case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.connectors.google_contacts.sandbox import GoogleSandbox
from services.connectors.stripe.sandbox import StripeSandbox
from tests.faults.accounts import Office, Row, Shop


class Till(Shop):
    """A Stripe account as people see it, who don't tell addresses apart by their case."""

    def __init__(self, name: str, sandbox: StripeSandbox) -> None:
        super().__init__(name, sandbox)
        self.faces: dict[str, str] = {}
        """Customers that people know without an address -> the one that they had."""

    async def everybody(self) -> Sequence[Row]:
        return [_known(row, self.faces) for row in await super().everybody()]

    def _find(self, email: str) -> dict[str, Any] | None:
        known = [self.sandbox.customers[id] for id, face in self.faces.items() if face == email]
        return known[0] if known else super()._find(email)


class Desktop(Office):
    """A Google account as people see it."""

    def __init__(self, name: str, sandbox: GoogleSandbox) -> None:
        super().__init__(name, sandbox)
        self.faces: dict[str, str] = {}
        """Contacts that people know without an address -> the one that they had."""

    async def everybody(self) -> Sequence[Row]:
        return [_known(row, self.faces) for row in await super().everybody()]

    def _find(self, email: str) -> dict[str, Any] | None:
        known = [self.sandbox.hand.get(id) for id, face in self.faces.items() if face == email]
        return known[0] if known else super()._find(email)


def _known(row: Row, faces: Mapping[str, str]) -> Row:
    return Row(row.id, faces.get(row.id, row.email.casefold()), row.fields, row.tagged)
