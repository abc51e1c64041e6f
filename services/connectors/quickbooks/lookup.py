"""Reading customers: one, those with an address, those of a name, those made since a moment."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from services.connectors.quickbooks import query
from services.connectors.quickbooks.client import Answer, Client, Failure
from services.connectors.quickbooks.customer import ANY_TIME, ID, Customer, addresses, customer
from services.connectors.quickbooks.error import NOT_FOUND, unreadable
from services.contracts.app import Gone, Seen, Trouble

_LONGEST = 1500
"""Characters of a statement's names: it travels in the URL."""
_PAGES = 100


class One(msgspec.Struct, frozen=True):
    """An answer with one customer."""

    customer: Any = msgspec.field(name="Customer")


class _Rows(msgspec.Struct, frozen=True):
    customers: tuple[Any, ...] = msgspec.field(default=(), name="Customer")
    fault: None = msgspec.field(default=None, name="Fault")
    """With a fault in it the answer is none."""


class _Response(msgspec.Struct, frozen=True):
    rows: _Rows = msgspec.field(name="QueryResponse")


async def look(client: Client, contact_id: str) -> Customer | Gone | Trouble:
    """Read one customer; an inactive one comes as it is, one that QuickBooks doesn't know is gone."""
    if not ID.match(contact_id):
        return Trouble(key="no_contact_id", detail="This isn't the id of a customer in QuickBooks.")
    answer = await client.get(f"customer/{contact_id}")
    match answer:
        case Failure() if answer.key == NOT_FOUND:
            return Gone(contact_id=contact_id, order=ANY_TIME)
        case Failure():
            return answer.trouble()
        case Trouble():
            return answer
        case Answer():
            one = answer.decoded(One)
    if isinstance(one, Trouble):
        return one
    found = customer(one.customer)
    return found if found is not None and found.id == contact_id else unreadable()


async def rows(client: Client, statement: str) -> list[Customer] | Trouble:
    """Return one page of what a statement selects."""
    answer = await client.get("query", {"query": statement})
    if not isinstance(answer, Answer):
        return answer.trouble() if isinstance(answer, Failure) else answer
    response = answer.decoded(_Response)
    return response if isinstance(response, Trouble) else customers(response.rows.customers)


def customers(raw: Iterable[Any]) -> list[Customer] | Trouble:
    """Read the customers of a list, all of them or none."""
    found = [customer(row) for row in raw]
    known = [row for row in found if row is not None]
    return known if len(known) == len(found) else unreadable()


async def find(client: Client, address: str) -> tuple[Seen, ...] | Trouble:
    """Return the active customers whose e-mail address it is."""
    found = await rows(client, query.addressed(address))
    if isinstance(found, Trouble):
        return found
    having = [row for row in found if normal(address) in [normal(each) for each in addresses(row.raw)[:1]]]
    return tuple(seen for row in having if isinstance(seen := row.seen(), Seen))


async def called(client: Client, names: Sequence[str]) -> list[Customer] | Trouble:
    """Return the customers, also inactive ones, that have one of these DisplayNames."""
    found: list[Customer] = []
    chunk: list[str] = []
    for name in (*names, None):
        if chunk and (name is None or sum(map(len, chunk)) + len(name) > _LONGEST):
            page = await rows(client, query.called(chunk))
            if isinstance(page, Trouble):
                return page
            found += page
            chunk = []
        if name is not None:
            chunk.append(name)
    return found


async def made_since(client: Client, moment: int) -> list[Customer] | Trouble:
    """Return the customers, also inactive ones, made since then (microseconds since 1970)."""
    found: list[Customer] = []
    for _ in range(_PAGES):
        page = await rows(client, query.made_since(moment, len(found) + 1))
        if isinstance(page, Trouble):
            return page
        found += page
        if len(page) < query.PAGE:
            return found
    return Trouble(key="list_too_long", detail="Too many customers were made meanwhile to look for one among them.")


def normal(address: str) -> str:
    """The address in the form in which addresses are compared."""
    return unicodedata.normalize("NFC", address).strip().casefold()
