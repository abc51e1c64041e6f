"""Reading single customers: by id, and by e-mail address."""

from typing import Any
from urllib.parse import quote

import msgspec

from services.connectors.stripe.client import Answer, ask
from services.connectors.stripe.customer import Customer, customer, seen
from services.connectors.stripe.error import ErrorAnswer, unreadable
from services.connectors.stripe.subscription import StripeSubscription
from services.contracts.app import Gone, Seen, Trouble
from services.contracts.contact import Order, Subscription
from services.runtime.app import Access

CUSTOMERS = "/v1/customers"
LIMIT = 100  # the longest page: https://docs.stripe.com/api/pagination


class Rows(msgspec.Struct, frozen=True):
    """One page of a list."""

    data: list[msgspec.Raw]
    has_more: bool = False


class _Subscriptions(msgspec.Struct, frozen=True):
    data: list[StripeSubscription]
    has_more: bool = False


def path_of(contact_id: str) -> str:
    """The path of one customer."""
    return f"{CUSTOMERS}/{quote(contact_id, safe='')}"


async def look(access: Access, contact_id: str) -> Seen | Gone | Trouble:
    """Read one customer with its running subscriptions."""
    if not contact_id.strip("."):
        return Trouble(key=400, detail="That is no customer id.")
    answer = await ask(access, "get", path_of(contact_id), {"expand": ["subscriptions"]})
    match answer:
        case ErrorAnswer(missing=True):
            return Gone(contact_id=contact_id, order=answer.order)
        case ErrorAnswer():
            return answer.trouble()
        case Trouble():
            return answer
        case Answer():
            raw = msgspec.Raw(answer.body)
            found = customer(raw)
            if found is None:
                return unreadable()
            if found.deleted:
                return Gone(contact_id=contact_id, order=answer.order)
            return await whole(access, found, raw, answer.order)


async def find(access: Access, address: str) -> tuple[Seen, ...] | Trouble:
    """Read the customers with an e-mail address. Stripe compares it exactly, perhaps with its case."""
    rows = await listed(access, CUSTOMERS, {"email": address, "expand": ["data.subscriptions"]})
    if isinstance(rows, Trouble):
        return rows
    hits: list[Seen] = []
    for raw, order in rows:
        found = customer(raw)
        if found is None:
            return unreadable()
        if not found.deleted and _same(found.email, address):
            hit = await whole(access, found, raw, order)
            if isinstance(hit, Trouble):
                return hit
            hits.append(hit)
    return tuple(hits)


async def listed(
    access: Access, path: str, params: dict[str, Any], *, pages: int = 20
) -> list[tuple[msgspec.Raw, Order]] | Trouble:
    """Read a whole list, each row with the order of its page. More than `pages` pages are Trouble."""
    found: list[tuple[msgspec.Raw, Order]] = []
    after: dict[str, Any] = {}
    for _ in range(pages):
        answer = await ask(access, "get", path, {**params, "limit": LIMIT, **after})
        if isinstance(answer, ErrorAnswer):
            return answer.trouble()
        if isinstance(answer, Trouble):
            return answer
        rows = answer.decoded(Rows)
        if isinstance(rows, Trouble):
            return rows
        found += [(raw, answer.order) for raw in rows.data]
        if not rows.has_more or not rows.data:
            return found
        last = customer(rows.data[-1])
        if last is None:
            return unreadable()
        after = {"starting_after": last.id}
    return Trouble(key="list_too_long", detail=f"Stripe's list has more than {pages * LIMIT} rows.")


async def whole(access: Access, found: Customer, raw: msgspec.Raw, order: Order) -> Seen | Trouble:
    """What was seen of a customer; a list of subscriptions that the answer cut short is read to its end."""
    sight = seen(found, raw, order)
    if found.subscriptions is None or not found.subscriptions.has_more:
        return sight
    subscriptions: list[Subscription] = []
    end = order
    params: dict[str, Any] = {"customer": found.id, "limit": LIMIT}
    while True:
        answer = await ask(access, "get", "/v1/subscriptions", params)
        if isinstance(answer, ErrorAnswer):
            return answer.trouble()
        if isinstance(answer, Trouble):
            return answer
        page = answer.decoded(_Subscriptions)
        if isinstance(page, Trouble):
            return page
        end = answer.order
        subscriptions += [each.subscription() for each in page.data]
        if not page.has_more or not page.data:
            break
        params["starting_after"] = page.data[-1].id
    spanned = Order(min(order.start, end.start), max(order.end, end.end))
    return msgspec.structs.replace(sight, subscriptions=tuple(subscriptions), order=spanned)


def _same(email: str | None, address: str) -> bool:
    return email is not None and email.strip().casefold() == address.strip().casefold()
