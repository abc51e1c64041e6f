"""A person's hand: what somebody does in QuickBooks itself."""

from typing import Any

from services.connectors.quickbooks.sandbox.customers import Customers
from services.connectors.quickbooks.sandbox.refusal import Json


class Hand:
    """Changes without API, token or quota."""

    def __init__(self, customers: Customers) -> None:
        self._customers = customers

    def create(self, name: str, email: str = "", **fields: Any) -> str:
        """Make a customer; fields are the API's. Returns its id."""
        body: Json = {"DisplayName": name, **fields}
        if email:
            body["PrimaryEmailAddr"] = {"Address": email}
        return str(self._customers.create(body)["Id"])

    def get(self, ident: str) -> Json:
        """The customer as it is."""
        return self._customers.get(ident)

    def update(self, ident: str, **fields: Any) -> Json:
        """Change fields; an empty text clears one."""
        frame = {"Id": ident, "SyncToken": self.get(ident)["SyncToken"], "sparse": True}
        return self._customers.update({**frame, **fields})

    def deactivate(self, ident: str) -> None:
        """Make the customer inactive: what people take for deleting it."""
        self.update(ident, Active=False)

    def reactivate(self, ident: str) -> None:
        """Make it active again."""
        self.update(ident, Active=True)

    def merge(self, ident: str, into: str) -> None:
        """Merge a customer into another one."""
        self._customers.merge(ident, into)

    def invoice(self, ident: str) -> None:
        """Bill the customer: its balance changes, its version doesn't."""
        self._customers.bill(ident)

    def employ(self, name: str) -> None:
        """Make a vendor or an employee of that name."""
        self._customers.others.add(name)

    def everybody(self) -> list[Json]:
        """Every customer as it is, inactive ones included."""
        return list(self._customers)
