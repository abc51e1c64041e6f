"""Customers: create, retrieve, update, delete, list and search, with Stripe's rules for their fields."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, Literal

from services.connectors.stripe.sandbox.event import Cause, Events, Plan, World, previous_attributes
from services.connectors.stripe.sandbox.fields import (
    Choice,
    Kind,
    Metadata,
    Struct,
    Text,
    Texts,
    Unmodelled,
    Whole,
    clean,
    merged,
)
from services.connectors.stripe.sandbox.form import Tree
from services.connectors.stripe.sandbox.refusal import Json
from services.connectors.stripe.sandbox.search import Index
from services.connectors.stripe.sandbox.shelf import PAGING, Shelf

ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")

# Parameters and limits: https://docs.stripe.com/api/customers/create, and for the two names
# https://docs.stripe.com/changelog/clover/2025-09-30/customer-business-individual-names
_ADDRESS = Struct(dict.fromkeys(ADDRESS, Text()))
_FIELDS: Mapping[str, Kind] = {
    "name": Text(),
    "individual_name": Text(150),
    "business_name": Text(150),
    "email": Text(512, email=True),
    "phone": Text(),
    "description": Text(),
    "address": _ADDRESS,
    "shipping": Struct({"name": Text(clears=False), "phone": Text(), "address": _ADDRESS}, ("name", "address")),
    "preferred_locales": Texts(),
    "tax_exempt": Choice(("none", "exempt", "reverse"), empty="none"),
    "metadata": Metadata(),
    "expand": Texts(),
    "balance": Whole(),
    "next_invoice_sequence": Whole(1),
    **dict.fromkeys(("cash_balance", "invoice_prefix", "invoice_settings", "source", "tax"), Unmodelled()),
    "validate": Unmodelled(),
}
_CREATE: Mapping[str, Kind] = {
    **_FIELDS,
    **dict.fromkeys(("payment_method", "tax_id_data", "test_clock"), Unmodelled()),
}
_UPDATE: Mapping[str, Kind] = {**_FIELDS, "default_source": Unmodelled()}
_LIST: Mapping[str, Kind] = {**PAGING, "email": Text(clears=False), "test_clock": Unmodelled()}
# Absent from a customer that never had one; the two names are newer than the rest of the object.
_OPTIONAL = ("individual_name", "business_name")


class Customers(Shelf):
    """The account's customers. The mapping shows the live ones; `made` has the ids of all there ever were."""

    def __init__(self, world: World, events: Events, index: Index, deleted_shape: Literal["full", "short"]) -> None:
        super().__init__("customer", "/v1/customers")
        self.deleted: set[str] = set()
        self.before_deletion: list[Callable[[str, Cause], None]] = []
        self._world = world
        self._events = events
        self._index = index
        self._deleted_shape = deleted_shape

    def create(self, tree: Tree) -> Plan:
        """POST /v1/customers."""
        patch = clean(tree, _CREATE)
        merged({}, patch.get("metadata", {}))

        def run(cause: Cause) -> Json:
            made = _applied(self._blank(), patch)
            if "name" not in patch:
                made["name"] = made.get("business_name") or made.get("individual_name")
            self._keep(made)
            self._events.emit("customer.created", made, cause)
            return made

        return run

    def update(self, found: str, tree: Tree) -> Plan:
        """POST /v1/customers/{id}. What is not sent stays; addresses are replaced whole."""
        present = self.row(found)
        patch = clean(tree, _UPDATE)
        merged(present["metadata"], patch.get("metadata", {}))

        def run(cause: Cause) -> Json:
            before = self.row(found)
            after = _applied(before, patch)
            previous = previous_attributes(before, after)
            if previous:
                self._keep(after)
                self._events.emit("customer.updated", after, cause, previous)
            return after

        return run

    def delete(self, found: str) -> Plan:
        """DELETE /v1/customers/{id}: for good, and the subscriptions end at once."""
        self.row(found)

        def run(cause: Cause) -> Json:
            for end in self.before_deletion:
                end(found, cause)
            gone = self.take(found)
            self.deleted.add(found)
            self._index.put(found, None)
            short = tombstone(found)
            self._events.emit("customer.deleted", gone if self._deleted_shape == "full" else short, cause)
            return short

        return run

    def retrieve(self, found: str) -> Json:
        """GET /v1/customers/{id}; a deleted customer is answered with `deleted: true`."""
        return tombstone(found) if found in self.deleted else self.row(found)

    def listed(self, tree: Tree) -> Json:
        """GET /v1/customers; the filter by e-mail is exact, case included."""
        params = clean(tree, _LIST)
        email = params.get("email")
        return self.page(params, lambda row: email is None or row["email"] == email)

    def _keep(self, row: Json) -> None:
        self.put(row)
        self._index.put(row["id"], row)

    def _blank(self) -> Json:
        return {
            "id": self._world.new_id("cus_"),
            "object": "customer",
            "address": None,
            "balance": 0,
            "created": self._world.now(),
            "currency": None,
            "default_source": None,
            "delinquent": False,
            "description": None,
            "discount": None,
            "email": None,
            "invoice_prefix": f"{self._world.rng.randrange(16**8):08X}",
            "invoice_settings": {
                "custom_fields": None,
                "default_payment_method": None,
                "footer": None,
                "rendering_options": None,
            },
            "livemode": False,
            "metadata": {},
            "name": None,
            "next_invoice_sequence": 1,
            "phone": None,
            "preferred_locales": [],
            "shipping": None,
            "tax_exempt": "none",
            "test_clock": None,
        }


def tombstone(found: str) -> Json:
    """A customer that was deleted, as it is answered from then on."""
    return {"id": found, "object": "customer", "deleted": True}


def _applied(present: Json, patch: Mapping[str, Any]) -> Json:
    after = deepcopy(present)
    for name, value in patch.items():
        match name:
            case "expand":
                continue
            case "metadata":
                after[name] = merged(present["metadata"], value)
            case "address":
                after[name] = _whole_address(value)
            case "shipping":
                after[name] = value and {
                    "address": _whole_address(value["address"]),
                    "name": value["name"],
                    "phone": value.get("phone"),
                }
            case _:
                after[name] = value
    for name in _OPTIONAL:
        if after.get(name) is None:
            after.pop(name, None)
    return after


def _whole_address(given: Mapping[str, str | None] | None) -> Json | None:
    """An address with all its lines, those not given as null."""
    return None if given is None else {line: given.get(line) for line in ADDRESS}
