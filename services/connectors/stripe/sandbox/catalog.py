"""Products and prices: as much of them as a subscription needs."""

from collections.abc import Mapping
from typing import Any

from services.connectors.stripe.sandbox.event import Cause, Events, Plan, World
from services.connectors.stripe.sandbox.fields import (
    Choice,
    Flag,
    Kind,
    Metadata,
    Struct,
    Text,
    Texts,
    Whole,
    clean,
    merged,
)
from services.connectors.stripe.sandbox.form import Tree
from services.connectors.stripe.sandbox.refusal import ApiError, Json
from services.connectors.stripe.sandbox.shelf import PAGING, Shelf

_PRODUCT: Mapping[str, Kind] = {
    "id": Text(clears=False),
    "name": Text(clears=False),
    "description": Text(),
    "active": Flag(),
    "metadata": Metadata(),
    "expand": Texts(),
}
_RECURRING = Struct({"interval": Choice(("day", "week", "month", "year")), "interval_count": Whole(1)}, ("interval",))
_PRICE: Mapping[str, Kind] = {
    "currency": Text(3, clears=False),
    "unit_amount": Whole(),
    "product": Text(clears=False),
    "product_data": Struct({"id": Text(clears=False), "name": Text(clears=False)}, ("name",)),
    "recurring": _RECURRING,
    "lookup_key": Text(200),
    "nickname": Text(),
    "active": Flag(),
    "metadata": Metadata(),
    "expand": Texts(),
}
_LIST_PRICES: Mapping[str, Kind] = {
    **PAGING,
    "active": Flag(),
    "product": Text(clears=False),
    "lookup_keys": Texts(10),
}


class Catalog:
    """The account's products and prices."""

    def __init__(self, world: World, events: Events) -> None:
        self.products = Shelf("product", "/v1/products")
        self.prices = Shelf("price", "/v1/prices")
        self._world = world
        self._events = events

    def create_product(self, tree: Tree) -> Plan:
        """POST /v1/products."""
        given = clean(tree, _PRODUCT, ("name",))
        if given.get("id") in self.products.made:
            raise ApiError("Product already exists.", code="resource_already_exists", param="id")
        return lambda cause: self._product(given, cause)

    def create_price(self, tree: Tree) -> Plan:
        """POST /v1/prices, for a product that exists or one that is made along."""
        given = clean(tree, _PRICE, ("currency",))
        if ("product" in given) == ("product_data" in given):
            raise ApiError("Give product or product_data.", code="parameter_missing", param="product")
        if "product" in given:
            self.products.row(given["product"], param="product", status=400)
        key = given.get("lookup_key")
        if key is not None and any(row["lookup_key"] == key for row in self.prices.values()):
            raise ApiError(f"A price already uses the lookup key {key}.", param="lookup_key")

        def run(cause: Cause) -> Json:
            product = given.get("product") or self._product(given["product_data"], cause)["id"]
            made = self._price(given, product)
            self.prices.put(made)
            self._events.emit("price.created", made, cause)
            return made

        return run

    def list_prices(self, tree: Tree) -> Json:
        """GET /v1/prices."""
        params = clean(tree, _LIST_PRICES)
        keys = params.get("lookup_keys")
        return self.prices.page(
            params,
            lambda row: (
                row["active"] is params.get("active", row["active"])
                and row["product"] == params.get("product", row["product"])
                and (keys is None or row["lookup_key"] in keys)
            ),
        )

    def list_products(self, tree: Tree) -> Json:
        """GET /v1/products."""
        params = clean(tree, {**PAGING, "active": Flag()})
        return self.products.page(params, lambda row: row["active"] is params.get("active", row["active"]))

    def _product(self, given: Mapping[str, Any], cause: Cause) -> Json:
        now = self._world.now()
        made: Json = {
            "id": given.get("id") or self._world.new_id("prod_"),
            "object": "product",
            "active": given.get("active", True),
            "created": now,
            "default_price": None,
            "description": given.get("description"),
            "images": [],
            "livemode": False,
            "marketing_features": [],
            "metadata": merged({}, given.get("metadata", {})),
            "name": given["name"],
            "package_dimensions": None,
            "shippable": None,
            "statement_descriptor": None,
            "tax_code": None,
            "type": "service",
            "unit_label": None,
            "updated": now,
            "url": None,
        }
        self.products.put(made)
        self._events.emit("product.created", made, cause)
        return made

    def _price(self, given: Mapping[str, Any], product: str) -> Json:
        amount, recurring = given.get("unit_amount"), given.get("recurring")
        return {
            "id": self._world.new_id("price_1", 23),
            "object": "price",
            "active": given.get("active", True),
            "billing_scheme": "per_unit",
            "created": self._world.now(),
            "currency": given["currency"].lower(),
            "custom_unit_amount": None,
            "livemode": False,
            "lookup_key": given.get("lookup_key"),
            "metadata": merged({}, given.get("metadata", {})),
            "nickname": given.get("nickname"),
            "product": product,
            "recurring": recurring
            and {
                "interval": recurring["interval"],
                "interval_count": recurring.get("interval_count", 1),
                "meter": None,
                "trial_period_days": None,
                "usage_type": "licensed",
            },
            "tax_behavior": "unspecified",
            "tiers_mode": None,
            "transform_quantity": None,
            "type": "recurring" if recurring else "one_time",
            "unit_amount": amount,
            "unit_amount_decimal": None if amount is None else str(amount),
        }


def plan_of(price: Json) -> Json:
    """The price in the words of its predecessor, the plan, which items still carry."""
    recurring = price["recurring"] or {}
    return {
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": price["billing_scheme"],
        "created": price["created"],
        "currency": price["currency"],
        "interval": recurring.get("interval"),
        "interval_count": recurring.get("interval_count"),
        "livemode": False,
        "metadata": {},
        "meter": None,
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }
