"""Messages of the sync tests, as their publishers seal them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec

from services.contracts.commands import Command, Create, Tag, Untag, Update, Write
from services.contracts.contact import Contact, Fields, Order
from services.contracts.envelope import (
    Headers,
    Message,
    derived,
    event_key,
    headers,
    seal,
)
from services.contracts.events import ContactChanged, ContactDeleted, LookAnswer, ScanFinished
from services.contracts.receipts import Observation, Receipt, Written
from services.runtime.log import Message as Posted
from tests.core.bench import SECOND, order

T = TypeVar("T")
DAY = datetime(2026, 9, 21, tzinfo=UTC)

_ids = itertools.count(1)


def message(body: Message, id: str | None = None) -> Posted:
    """A message as its publisher seals it, under a new id unless one is given."""
    key = b"key"
    if isinstance(body, ContactChanged | ContactDeleted):
        key = event_key(body.account, body.contact_id)
    envelope = seal(body, id=id or derived("test", next(_ids)), source="test", subject="", time=DAY)
    return Posted(key=key, headers=headers(envelope), value=envelope.data)


def raw(type_: str, value: bytes, *more: tuple[str, bytes], v: int = 1, id: str | None = None) -> Posted:
    """A message of any type with any body and further headers."""
    rows: Headers = (
        ("ce_id", (id or derived("test", next(_ids))).encode()),
        ("ce_type", type_.encode()),
        ("ce_v", str(v).encode()),
        ("ce_source", b"test"),
        ("ce_time", DAY.isoformat().encode()),
        *more,
    )
    return Posted(key=b"key", headers=rows, value=value)


def changed(
    account: str,
    contact_id: str,
    fields: Fields,
    *,
    at: float = 0,
    until: float | None = None,
    mark: str | None = None,
    tags: Iterable[str] = (),
    scan: int | None = None,
    look: LookAnswer | None = None,
) -> ContactChanged:
    """An observation, true in the interval of seconds [at, until] since the tests' start (until = at + 1)."""
    return ContactChanged(
        account=account,
        contact_id=contact_id,
        order=order(at, until),
        origin="webhook",
        contact=Contact(fields=fields, mark=mark, tags=tuple(tags)),
        object=msgspec.json.encode({"id": contact_id}),  # type: ignore[arg-type]
        scan=scan,
        look=look,
    )


def deleted(account: str, contact_id: str, *, at: float, look: LookAnswer | None = None) -> ContactDeleted:
    return ContactDeleted(account=account, contact_id=contact_id, order=order(at), origin="webhook", look=look)


def written(command: Write, *, at: float, contact_id: str | None = None, fields: Fields | None = None) -> Receipt:
    """The receipt of a write, with the contact as it was read back at `at` seconds."""
    target = contact_id or (command.contact_id if not isinstance(command, Create) else f"made-{command.aim.link}")
    told = fields if fields is not None else command.fields if isinstance(command, Create | Update) else {}
    seen = Observation(
        contact_id=target,
        order=Order(order(at).start - SECOND, order(at).start + SECOND),
        contact=Contact(fields=told, mark=command.aim.link if isinstance(command, Create) else None),
    )
    return Receipt(aim=command.aim, outcome=Written(contact_id=target, seen=seen))


def scan_finished(account: str, number: int = 1, *, start: float = 0, count: int = 0) -> ScanFinished:
    return ScanFinished(account=account, number=number, start=order(start).start, count=count)


def shop(name: str, address: str, **more: str) -> Fields:
    """A contact of the shop."""
    return {"name": (name,), "email": (address,), **{path: (value,) for path, value in more.items()}}


def writes(commands: Iterable[Command]) -> list[Write]:
    return [each for each in commands if isinstance(each, Create | Update | Tag | Untag)]


def of(commands: Iterable[Command], kind: type[T]) -> list[T]:
    return [each for each in commands if isinstance(each, kind)]


def one(commands: Iterable[Command], kind: type[T]) -> T:
    (found,) = of(commands, kind)
    return found
