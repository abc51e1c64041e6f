"""The endpoints that the sandbox models, and the expansion of what they answer."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.connectors.stripe.sandbox.catalog import Catalog
from services.connectors.stripe.sandbox.customer import Customers
from services.connectors.stripe.sandbox.endpoint import Endpoints
from services.connectors.stripe.sandbox.event import Events, Plan
from services.connectors.stripe.sandbox.fields import Texts, clean
from services.connectors.stripe.sandbox.form import Tree
from services.connectors.stripe.sandbox.refusal import ApiError, Json
from services.connectors.stripe.sandbox.search import Index
from services.connectors.stripe.sandbox.subscription import Subscriptions

Prepare = Callable[[str, Tree], Plan]
"""Checks a request (the id in its path, its parameters) and gives the plan of its execution."""


@dataclass(frozen=True)
class Route:
    """One API operation; `name` is what rate limits count by."""

    method: str
    path: str
    prepare: Prepare

    @property
    def name(self) -> str:
        """`GET /v1/customers/{id}`."""
        return f"{self.method} {self.path}"

    def match(self, method: str, path: str) -> str | None:
        """The id in the path ("" where there is none), or None if this isn't the route."""
        if method != self.method:
            return None
        found = re.fullmatch(self.path.replace("{id}", "([A-Za-z0-9_]+)"), path)
        return None if found is None else "".join(found.groups())


@dataclass(frozen=True)
class Shelves:
    """Everything that can be asked for."""

    customers: Customers
    index: Index
    subscriptions: Subscriptions
    catalog: Catalog
    events: Events
    endpoints: Endpoints
    account: Json


def routes(on: Shelves) -> tuple[Route, ...]:
    """The table of operations; earlier rows win."""
    return (
        Route("POST", "/v1/customers", _write(on.customers.create)),
        Route("GET", "/v1/customers", _list(on.customers.listed)),
        Route("GET", "/v1/customers/search", _list(on.index.search)),
        Route("POST", "/v1/customers/{id}", on.customers.update),
        Route("GET", "/v1/customers/{id}", _read(on.customers.retrieve)),
        Route("DELETE", "/v1/customers/{id}", _delete(on.customers.delete)),
        Route("POST", "/v1/subscriptions", _write(on.subscriptions.create)),
        Route("GET", "/v1/subscriptions", _list(on.subscriptions.listed)),
        Route("POST", "/v1/subscriptions/{id}", on.subscriptions.update),
        Route("GET", "/v1/subscriptions/{id}", _read(on.subscriptions.row)),
        Route("DELETE", "/v1/subscriptions/{id}", _delete(on.subscriptions.cancel)),
        Route("POST", "/v1/products", _write(on.catalog.create_product)),
        Route("GET", "/v1/products", _list(on.catalog.list_products)),
        Route("GET", "/v1/products/{id}", _read(on.catalog.products.row)),
        Route("POST", "/v1/prices", _write(on.catalog.create_price)),
        Route("GET", "/v1/prices", _list(on.catalog.list_prices)),
        Route("GET", "/v1/prices/{id}", _read(on.catalog.prices.row)),
        Route("GET", "/v1/account", _read(lambda _: on.account)),
        Route("GET", "/v1/events", _list(on.events.listed)),
        Route("GET", "/v1/events/{id}", _read(lambda found: on.events.recorded(found).rendered())),
        Route("POST", "/v1/webhook_endpoints", _write(on.endpoints.create)),
        Route("GET", "/v1/webhook_endpoints", _list(on.endpoints.listed)),
        Route("POST", "/v1/webhook_endpoints/{id}", on.endpoints.update),
        Route("GET", "/v1/webhook_endpoints/{id}", _read(on.endpoints.retrieve)),
        Route("DELETE", "/v1/webhook_endpoints/{id}", _delete(on.endpoints.delete)),
    )


def _write(create: Callable[[Tree], Plan]) -> Prepare:
    return lambda _, tree: create(tree)


def _list(listed: Callable[[Tree], Json]) -> Prepare:
    def prepare(_: str, tree: Tree) -> Plan:
        page = listed(tree)
        return lambda _: page

    return prepare


def _read(read: Callable[[str], Json]) -> Prepare:
    def prepare(found: str, tree: Tree) -> Plan:
        clean(tree, {"expand": Texts()})
        row = read(found)
        return lambda _: row

    return prepare


def _delete(delete: Callable[[str], Plan]) -> Prepare:
    def prepare(found: str, tree: Tree) -> Plan:
        clean(tree, {})
        return delete(found)

    return prepare


class Expansion:
    """Puts whole objects where an answer holds an id or nothing: https://docs.stripe.com/api/expanding_objects."""

    def __init__(self, on: Shelves) -> None:
        self._members: Mapping[str, Mapping[str, Callable[[Json], Json]]] = {
            "/v1/customers": {
                "subscriptions": lambda row: on.subscriptions.of(row["id"]),
                "sources": lambda row: _empty(f"/v1/customers/{row['id']}/sources"),
                "tax_ids": lambda row: _empty(f"/v1/customers/{row['id']}/tax_ids"),
            },
            "/v1/subscriptions": {"customer": lambda row: on.customers.retrieve(row["customer"])},
            "/v1/prices": {"product": lambda row: on.catalog.products.row(row["product"])},
        }

    def wanted(self, route: Route, tree: Tree) -> tuple[str, ...]:
        """The members to expand in a route's answer. Raises ApiError (400) for others than it knows."""
        paths = clean({"expand": tree["expand"]} if "expand" in tree else {}, {"expand": Texts()})
        many = route.method == "GET" and "{id}" not in route.path
        members = []
        for path in paths.get("expand", []):
            prefix, _, member = path.rpartition(".")
            if prefix != ("data" if many else "") or member not in self._known(route):
                raise ApiError(f"This property cannot be expanded ({path}).", param="expand")
            members.append(member)
        return tuple(members)

    def applied(self, route: Route, members: tuple[str, ...], answer: Json) -> Json:
        """The answer with these members expanded."""
        if not members:
            return answer
        known = self._known(route)
        if answer["object"] in ("list", "search_result"):
            rows = [{**row, **{each: known[each](row) for each in members}} for row in answer["data"]]
            return {**answer, "data": rows}
        if answer.get("deleted"):
            return answer
        return {**answer, **{each: known[each](answer) for each in members}}

    def _known(self, route: Route) -> Mapping[str, Callable[[Json], Json]]:
        return self._members.get("/".join(route.path.split("/")[:3]), {})


def _empty(url: str) -> Json:
    return {"object": "list", "data": [], "has_more": False, "total_count": 0, "url": url}
