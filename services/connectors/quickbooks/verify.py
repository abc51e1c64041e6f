"""Webhooks: who sent one, and which customers it speaks of.

A signature is the base64 of HMAC-SHA256 over the raw body, keyed with the app's verifier token, in `intuit-signature`.
It has no time of its own, and an undelivered webhook is sent again for days with the same body: an old one is no less
true. It says only that a customer is to be looked at, so that one that is replayed costs a reading, and changes
nothing. https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from services.connectors.quickbooks.customer import ID
from services.contracts.app import Delivery, Reading, Rejected
from services.contracts.events import ContactMerged, ContactTouched

HEADER = "intuit-signature"
HELD = 300.0
"""Seconds that a delivery may have been held by us before it is verified."""
_PREFIX = "qbo.customer."
_KINDS = {"created.v1", "updated.v1", "deleted.v1", "merged.v1"}
_LEGACY = {"Create", "Update", "Delete", "Merge"}
_LONGEST_ID = 300


class _Data(msgspec.Struct, frozen=True):
    deleted: str | None = msgspec.field(default=None, name="deletedid")


class _Entity(msgspec.Struct, frozen=True):
    """A CloudEvent about a customer.

    https://blogs.intuit.com/2025/11/12/upcoming-change-to-webhooks-payload-structure
    """

    id: str
    entity: str = msgspec.field(name="intuitentityid")
    time: str = ""
    data: _Data | None = None


class _Legacy(msgspec.Struct, frozen=True):
    """A customer in a body of the older form."""

    entity: str = msgspec.field(name="id")
    operation: str
    time: str = msgspec.field(default="", name="lastUpdated")
    deleted: str | None = msgspec.field(default=None, name="deletedId")


class _Change(msgspec.Struct, frozen=True):
    entities: list[dict[str, Any]] = []


class _Notification(msgspec.Struct, frozen=True):
    realm: str = msgspec.field(name="realmId")
    change: _Change | None = msgspec.field(default=None, name="dataChangeEvent")


class _Notifications(msgspec.Struct, frozen=True):
    rows: list[_Notification] = msgspec.field(name="eventNotifications")


class _Told(msgspec.Struct, frozen=True):
    """A customer that something happened to; `id` is the event's."""

    id: str
    contact_id: str
    time: str
    into: str | None = None
    """The customer that it was merged into."""


def verify(delivery: Delivery, secrets: Sequence[str], now: float) -> Rejected | None:
    """Return None if the body is signed with one of the verifier tokens. `now` is in unix seconds.

    Every token is tried, whichever of them fits, so that the time it takes says nothing about which did.
    """
    usable = [secret for secret in secrets if secret.strip()]
    if not usable:
        return _rejected("this account has no webhook_secrets: add the verifier token of the Intuit app's webhooks")
    header = delivery.header(HEADER)
    if header is None:
        twice = any(name == HEADER for name, _ in delivery.headers)
        return _rejected(f"the {'intuit-signature header came twice' if twice else 'delivery is not signed'}")
    given, fits = header.encode("utf-8", "surrogateescape"), False
    for secret in usable:
        expected = base64.b64encode(hmac.new(secret.encode(), delivery.body, hashlib.sha256).digest())
        fits |= hmac.compare_digest(expected, given)
    if not fits:
        return _rejected("the signature doesn't fit: check that webhook_secrets holds the app's verifier token")
    if not abs(now - delivery.received / 1_000_000) <= HELD:
        return Rejected(
            code="timestamp", reason=f"it was received over {HELD:.0f} s ago, or one of two clocks is wrong"
        )
    return None


def read(delivery: Delivery, realm: str | None) -> tuple[Reading, ...] | Rejected:
    """Return a touch for each customer of the company `realm` (of any, if None) that the delivery speaks of.

    Of a merge both are touched, the one merged away by the news of that.

    Other kinds of objects, and other companies of the same Intuit app, are none of the account's: nothing is said of
    them, and the delivery is taken all the same, since Intuit repeats what isn't.
    """
    try:
        parsed = msgspec.json.decode(delivery.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Rejected(code="json", reason="the body isn't JSON")
    except RecursionError:
        return Rejected(code="json", reason="the body is nested too deeply")
    try:
        told = list(_events(parsed, realm) if isinstance(parsed, list) else _legacy(parsed, realm))
    except msgspec.ValidationError:
        return Rejected(code="json", reason="the body isn't a webhook of QuickBooks': a customer in it can't be read")
    if any(not ID.match(each.contact_id) or not 0 < len(each.id) <= _LONGEST_ID for each in told):
        return Rejected(code="json", reason="a customer in the body has an id that QuickBooks doesn't give")
    once = {(each.id, each.contact_id): each for each in told}
    return tuple(_reading(delivery, each) for each in once.values())


def _events(rows: list[Any], realm: str | None) -> Iterator[_Told]:
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get("type"), str):
            raise msgspec.ValidationError
        prefix, kind = row["type"][: len(_PREFIX)], row["type"][len(_PREFIX) :]
        if prefix != _PREFIX or kind not in _KINDS or not _is_ours(row.get("intuitaccountid"), realm):
            continue
        event = msgspec.convert(row, _Entity)
        yield _Told(event.id, event.entity, event.time)
        if event.data is not None and event.data.deleted is not None:
            into = event.entity if kind.startswith("merged") else None
            yield _Told(event.id, event.data.deleted, event.time, into)


def _legacy(parsed: Any, realm: str | None) -> Iterator[_Told]:
    for row in msgspec.convert(parsed, _Notifications).rows:
        if not _is_ours(row.realm, realm) or row.change is None:
            continue
        for raw in row.change.entities:
            if raw.get("name") != "Customer" or raw.get("operation") not in _LEGACY:
                continue
            entity = msgspec.convert(raw, _Legacy)
            # It has no id of its own: what happened, to whom and when, is the same for every repetition.
            ident = f"{row.realm}:{entity.operation}:{entity.entity}:{entity.time}"
            yield _Told(ident, entity.entity, entity.time)
            if entity.deleted is not None:
                yield _Told(ident, entity.deleted, entity.time, entity.entity if entity.operation == "Merge" else None)


def _is_ours(given: Any, realm: str | None) -> bool:
    if not isinstance(given, str):
        raise msgspec.ValidationError
    return realm is None or given == realm


def _reading(delivery: Delivery, told: _Told) -> Reading:
    account, contact_id = delivery.account, told.contact_id
    event: ContactTouched | ContactMerged
    if told.into is None or told.into == contact_id:
        event = ContactTouched(account=account, contact_id=contact_id, origin="webhook")
    else:
        event = ContactMerged(account=account, contact_id=contact_id, into=told.into, origin="webhook")
    return Reading(id=f"{told.id}/{told.contact_id}", event=event, time=_moment(told.time, delivery.received))


def _moment(text: str, otherwise: int) -> int:
    try:
        moment = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return otherwise
    return otherwise if moment.tzinfo is None else round(moment.timestamp() * 1_000_000)


def _rejected(reason: str) -> Rejected:
    return Rejected(code="signature", reason=reason)
