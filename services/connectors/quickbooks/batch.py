"""Several customers written in one request.

https://developer.intuit.com/app/developer/qbo/docs/learn/explore-the-quickbooks-online-api/batch: each item is carried
out by itself, and answered by itself under its `bId`; one that fails stops no other. Items don't see what others of the
request did. A `requestid` is the request's, items have none (https://gist.github.com/IntuitDeveloperRelations/7217848).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from services.connectors.quickbooks.client import Answer, Client, Failure
from services.connectors.quickbooks.customer import Json
from services.connectors.quickbooks.error import problem, unreadable
from services.contracts.app import Trouble
from services.contracts.envelope import derived

_STATUSES: Mapping[str, int] = {"AuthenticationFault": 401, "AuthorizationFault": 403, "ValidationFault": 400}
"""A fault's type -> the status that it would have by itself; of others it isn't known what was done."""


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """A customer to be sent, and the `requestid` that the same always has."""

    ident: str
    given: Json


class _Item(msgspec.Struct, frozen=True):
    key: str = msgspec.field(default="", name="bId")
    customer: Any = msgspec.field(default=None, name="Customer")
    fault: Any = msgspec.field(default=None, name="Fault")


class _Items(msgspec.Struct, frozen=True):
    rows: tuple[_Item, ...] = msgspec.field(name="BatchItemResponse")


async def post(client: Client, posts: Sequence[Post]) -> list[Answer | Failure | Trouble] | Failure | Trouble:
    """Send them in one request; return the answer to each, or the one to the request as a whole."""
    items = [
        {"bId": str(n), "operation": "update" if each.given.get("Id") else "create", "Customer": each.given}
        for n, each in enumerate(posts)
    ]
    ident = derived("quickbooks", "batch", *(each.ident for each in posts))
    answer = await client.ask("POST", "batch", {"requestid": ident}, {"BatchItemRequest": items})
    if not isinstance(answer, Answer):
        return answer
    read = answer.decoded(_Items)
    if isinstance(read, Trouble):
        return read
    told = {row.key: row for row in read.rows}
    return [_told(told.get(str(n)), answer.ms) for n in range(len(posts))]


def _told(row: _Item | None, ms: int) -> Answer | Failure | Trouble:
    if row is not None and row.fault is not None:
        kind = row.fault.get("type") if isinstance(row.fault, dict) else None
        return Failure(problem=problem(_STATUSES.get(str(kind), 500), {}, msgspec.json.encode({"Fault": row.fault})))
    if row is None or row.customer is None:
        return unreadable()
    return Answer(body=msgspec.json.encode({"Customer": row.customer}), ms=ms)
