"""The batch operation: customers made and changed one after the other, each with an answer of its own.

https://developer.intuit.com/app/developer/qbo/docs/learn/explore-the-quickbooks-online-api/batch
"""

from typing import Any

from services.connectors.quickbooks.sandbox.customers import Customers
from services.connectors.quickbooks.sandbox.refusal import ApiError, Json

MOST = 30
"""Items of one request."""


def carried_out(customers: Customers, given: Any) -> tuple[Json, int]:
    """Return the answer, and how many items changed anything. Raises ApiError for what isn't a batch."""
    items = given.get("BatchItemRequest") if isinstance(given, dict) else None
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise ApiError("2010", "Request has invalid or unsupported property", element="BatchItemRequest")
    if len(items) > MOST:
        raise ApiError("1040", f"A batch has at most {MOST} items")
    keys = [item.get("bId") for item in items]
    if not all(isinstance(key, str) and key for key in keys) or len(set(keys)) < len(keys):
        raise ApiError("2010", "Every item has a bId of its own", element="bId")
    told: list[Json] = []
    for item in items:
        try:
            told.append({"Customer": _customer(customers, item), "bId": item["bId"]})
        except ApiError as error:
            told.append({"Fault": error.body("")["Fault"], "bId": item["bId"]})
    return {"BatchItemResponse": told}, sum("Customer" in each for each in told)


def _customer(customers: Customers, item: Json) -> Json:
    body = item.get("Customer")
    match item.get("operation"):
        case "create":
            return customers.create(body if isinstance(body, dict) else {})
        case "update":
            return customers.update(body if isinstance(body, dict) else {})
        case _:
            raise ApiError("500", "Unsupported Operation")
