"""Subscriptions: who subscribes to which price, in which status."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from services.connectors.stripe.sandbox.catalog import Catalog, plan_of
from services.connectors.stripe.sandbox.customer import Customers
from services.connectors.stripe.sandbox.event import Cause, Events, Plan, World, previous_attributes
from services.connectors.stripe.sandbox.fields import (
    Choice,
    Flag,
    Kind,
    Metadata,
    Struct,
    Structs,
    Text,
    Texts,
    Whole,
    clean,
    merged,
)
from services.connectors.stripe.sandbox.form import Tree
from services.connectors.stripe.sandbox.refusal import ApiError, Json, no_such
from services.connectors.stripe.sandbox.shelf import PAGING, Shelf

DAY = 86_400
ENDED = ("canceled", "incomplete_expired")
# https://docs.stripe.com/api/subscriptions/object#subscription_object-status
STATUSES = ("active", "trialing", "past_due", "unpaid", "paused", "incomplete", *ENDED)

_ITEM: Mapping[str, Kind] = {"price": Text(clears=False), "quantity": Whole(0)}
_FIELDS: Mapping[str, Kind] = {
    "metadata": Metadata(),
    "description": Text(500),
    "cancel_at_period_end": Flag(),
    "expand": Texts(),
}
_CREATE: Mapping[str, Kind] = {
    **_FIELDS,
    "customer": Text(clears=False),
    "items": Structs(Struct(_ITEM, ("price",))),
    "trial_period_days": Whole(1, 730),
}
_UPDATE: Mapping[str, Kind] = {
    **_FIELDS,
    "items": Structs(Struct({**_ITEM, "id": Text(clears=False), "deleted": Flag()})),
}
_LIST: Mapping[str, Kind] = {
    **PAGING,
    "customer": Text(clears=False),
    "price": Text(clears=False),
    "status": Choice((*STATUSES, "all", "ended")),
}
_NULLS = (
    "application",
    "application_fee_percent",
    "billing_cycle_anchor_config",
    "billing_schedules",
    "billing_thresholds",
    "cancel_at",
    "canceled_at",
    "customer_account",
    "days_until_due",
    "default_payment_method",
    "default_source",
    "ended_at",
    "latest_invoice",
    "managed_payments",
    "next_pending_invoice_item_invoice",
    "on_behalf_of",
    "pause_collection",
    "pending_invoice_item_interval",
    "pending_setup_intent",
    "pending_update",
    "schedule",
    "test_clock",
    "transfer_data",
)


class Subscriptions(Shelf):
    """The account's subscriptions; ended ones stay, as they do at Stripe."""

    def __init__(self, world: World, events: Events, customers: Customers, catalog: Catalog) -> None:
        super().__init__("subscription", "/v1/subscriptions")
        self._world = world
        self._events = events
        self._customers = customers
        self._catalog = catalog
        customers.before_deletion.append(self._end_all)

    def create(self, tree: Tree) -> Plan:
        """POST /v1/subscriptions."""
        given = clean(tree, _CREATE, ("customer", "items"))
        self._customers.row(given["customer"], param="customer", status=400)
        self._check_items(given["items"])

        def run(cause: Cause) -> Json:
            self._customers.row(given["customer"], param="customer", status=400)
            made = self._made(given)
            self.put(made)
            self._events.emit("customer.subscription.created", made, cause)
            return made

        return run

    def update(self, found: str, tree: Tree) -> Plan:
        """POST /v1/subscriptions/{id}."""
        self._running(found)
        patch = clean(tree, _UPDATE)
        self._check_items(patch.get("items", []), found)

        def run(cause: Cause) -> Json:
            after = deepcopy(self._running(found))
            for name in ("description", "cancel_at_period_end"):
                after[name] = patch.get(name, after[name])
            after["metadata"] = merged(after["metadata"], patch.get("metadata", {}))
            after["items"]["data"] = self._changed_items(after, patch.get("items", []))
            after["cancel_at"] = self._period_end(after) if after["cancel_at_period_end"] else None
            return self._keep(after, cause)

        return run

    def cancel(self, found: str) -> Plan:
        """DELETE /v1/subscriptions/{id}: at once, with customer.subscription.deleted."""
        self._running(found)
        return lambda cause: self._end(found, cause)

    def set_status(self, found: str, status: str, cause: Cause) -> Json:
        """A status that comes about by itself at Stripe: a payment that fails, a trial that ends."""
        if status == "canceled":
            return self._end(found, cause)
        return self._keep({**deepcopy(self._running(found)), "status": status}, cause)

    def listed(self, tree: Tree) -> Json:
        """GET /v1/subscriptions; without a status, those that haven't been cancelled."""
        params = clean(tree, _LIST)

        def keep(row: Json) -> bool:
            return (
                row["customer"] == params.get("customer", row["customer"])
                and _has_price(row, params.get("price"))
                and _has_status(row, params.get("status"))
            )

        return self.page(params, keep)

    def of(self, customer: str) -> Json:
        """A customer's subscriptions as `expand[]=subscriptions` shows them: the running ones."""
        rows = [row for row in self._rows.values() if row["customer"] == customer and _has_status(row, None)]
        url = f"/v1/customers/{customer}/subscriptions"
        return {"object": "list", "data": rows[::-1], "has_more": False, "total_count": len(rows), "url": url}

    def _running(self, found: str) -> Json:
        row = self.row(found)
        if row["status"] in ENDED:
            raise no_such("subscription", found, param="id")
        return row

    def _keep(self, after: Json, cause: Cause) -> Json:
        previous = previous_attributes(self._rows[after["id"]], after)
        if previous:
            self.put(after)
            self._events.emit("customer.subscription.updated", after, cause, previous)
        return after

    def _end(self, found: str, cause: Cause) -> Json:
        now = self._world.now()
        after = {**deepcopy(self._running(found)), "status": "canceled", "canceled_at": now, "ended_at": now}
        after["cancellation_details"]["reason"] = "cancellation_requested"
        self.put(after)
        self._events.emit("customer.subscription.deleted", after, cause)
        return after

    def _end_all(self, customer: str, cause: Cause) -> None:
        running = [row for row in self._rows.values() if row["customer"] == customer]
        for row in running:
            if row["status"] not in ENDED:
                self._end(row["id"], cause)

    def _check_items(self, items: list[dict[str, Any]], found: str | None = None) -> None:
        have = {item["id"] for item in self.row(found)["items"]["data"]} if found else set()
        for at, item in enumerate(items):
            if "price" in item:
                self._catalog.prices.row(item["price"], param=f"items[{at}][price]", status=400)
            elif "id" not in item:
                param = f"items[{at}][price]"
                raise ApiError(f"Missing required param: {param}.", code="parameter_missing", param=param)
            if "id" in item and item["id"] not in have:
                raise no_such("subscription item", item["id"], param=f"items[{at}][id]", status=400)

    def _changed_items(self, subscription: Json, changes: list[dict[str, Any]]) -> list[Json]:
        items: list[Json] = list(subscription["items"]["data"])
        for change in changes:
            if "id" not in change:
                items.append(self._item(subscription["id"], change, self._world.now()))
                continue
            at = next(place for place, item in enumerate(items) if item["id"] == change["id"])
            if change.get("deleted"):
                del items[at]
                continue
            if "price" in change:
                items[at]["price"] = self._catalog.prices[change["price"]]
                items[at]["plan"] = plan_of(items[at]["price"])
            items[at]["quantity"] = change.get("quantity", items[at]["quantity"])
        return items

    def _period_end(self, subscription: Json) -> int | None:
        return max((item["current_period_end"] for item in subscription["items"]["data"]), default=None)

    def _item(self, subscription: str, given: Mapping[str, Any], now: int) -> Json:
        price = self._catalog.prices[given["price"]]
        return {
            "id": self._world.new_id("si_"),
            "object": "subscription_item",
            "billing_thresholds": None,
            "created": now,
            "current_period_end": now + 30 * DAY,
            "current_period_start": now,
            "discounts": [],
            "metadata": {},
            "plan": plan_of(price),
            "price": price,
            "quantity": given.get("quantity", 1),
            "subscription": subscription,
            "tax_rates": [],
        }

    def _made(self, given: Mapping[str, Any]) -> Json:
        now = self._world.now()
        found = self._world.new_id("sub_1", 23)
        items = [self._item(found, item, now) for item in given["items"]]
        trial = given.get("trial_period_days")
        made: Json = {
            **dict.fromkeys(_NULLS),
            "id": found,
            "object": "subscription",
            "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
            "billing_cycle_anchor": now,
            "billing_mode": {"type": "classic", "flexible": None},
            "cancel_at_period_end": given.get("cancel_at_period_end", False),
            "cancellation_details": {"comment": None, "feedback": None, "reason": None},
            "collection_method": "charge_automatically",
            "created": now,
            "currency": items[0]["price"]["currency"] if items else "usd",
            "customer": given["customer"],
            "default_tax_rates": [],
            "description": given.get("description"),
            "discounts": [],
            "invoice_settings": {
                "account_tax_ids": None,
                "custom_fields": None,
                "description": None,
                "footer": None,
                "issuer": {"type": "self"},
            },
            "items": {
                "object": "list",
                "data": items,
                "has_more": False,
                "url": f"/v1/subscription_items?subscription={found}",
            },
            "livemode": False,
            "metadata": merged({}, given.get("metadata", {})),
            "payment_settings": {
                "payment_method_options": None,
                "payment_method_types": None,
                "save_default_payment_method": "off",
            },
            "start_date": now,
            "status": "trialing" if trial else "active",
            "trial_end": now + trial * DAY if trial else None,
            "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
            "trial_start": now if trial else None,
        }
        if made["cancel_at_period_end"]:
            made["cancel_at"] = self._period_end(made)
        return made


def _has_price(row: Json, price: str | None) -> bool:
    return price is None or any(item["price"]["id"] == price for item in row["items"]["data"])


def _has_status(row: Json, status: str | None) -> bool:
    match status:
        case None:
            return bool(row["status"] != "canceled")
        case "all":
            return True
        case "ended":
            return row["status"] in ENDED
        case _:
            return bool(row["status"] == status)
