"""Stripe's events, read as contacts' events."""

from datetime import datetime

import msgspec

from services.connectors.stripe import order
from services.connectors.stripe.customer import customer, prior
from services.connectors.stripe.subscription import ident, subscription
from services.contracts.app import Delivery, Reading, Rejected
from services.contracts.events import ContactChanged, ContactDeleted, ContactTouched, Event, Origin, SubscriptionChanged

CUSTOMER_CHANGED = frozenset({"customer.created", "customer.updated"})
CUSTOMER_DELETED = "customer.deleted"
SUBSCRIPTION_ENDED = "customer.subscription.deleted"
SUBSCRIPTION = frozenset(
    f"customer.subscription.{what}"
    for what in (
        "created",
        "updated",
        "deleted",
        "paused",
        "resumed",
        "trial_will_end",
        "pending_update_applied",
        "pending_update_expired",
    )
)
THIN = "v2.core.event"
"""What the object of a thin notification is called: https://docs.stripe.com/event-destinations#thin-events"""
TYPES = tuple(sorted(CUSTOMER_CHANGED | {CUSTOMER_DELETED} | SUBSCRIPTION))
"""The types that say something about a contact."""

_LATEST = 2**37  # unix seconds: beyond any event, and still a date that Python and databases can hold


class _Request(msgspec.Struct, frozen=True):
    idempotency_key: str | None = None


class _Data(msgspec.Struct, frozen=True):
    object: msgspec.Raw = msgspec.Raw(b"null")
    previous_attributes: msgspec.Raw = msgspec.Raw(b"null")


class _Related(msgspec.Struct, frozen=True):
    id: str = ""
    type: str = ""


class _Event(msgspec.Struct, frozen=True):
    """An event's frame. Thin events date themselves in text; old ones name their request by its id alone."""

    id: str
    type: str
    created: int | str = 0
    object: str = "event"
    data: _Data | None = None
    request: _Request | str | None = None
    related_object: _Related | None = None
    """What a thin event is about; the object itself isn't in it."""

    @property
    def label(self) -> str | None:
        return self.request.idempotency_key if isinstance(self.request, _Request) else None


_DECODER = msgspec.json.Decoder(_Event)


def read(delivery: Delivery) -> tuple[Reading, ...] | Rejected:
    """Return what a verified delivery says about a contact: one event, or none for a type that isn't ours."""
    try:
        delivery.body.decode()
    except UnicodeDecodeError:
        return Rejected(code="encoding", reason="the body isn't UTF-8")
    return readings(delivery.body, delivery.account, "webhook")


def readings(raw: msgspec.Raw | bytes, account: str, origin: Origin) -> tuple[Reading, ...] | Rejected:
    """Read one event object, from a delivery or from a page of the feed."""
    try:
        event = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _rejected("the body isn't an event of Stripe's")
    except RecursionError:
        return _rejected("the body is nested too deeply")
    if event.object == THIN:
        return _thin(event, account, origin)
    if event.object != "event" or event.type not in TYPES:
        return ()
    if event.data is None or not event.id or not isinstance(event.created, int) or not 0 < event.created < _LATEST:
        return _rejected(f"the {event.type} event has no id, time or object")
    found = _fact(event, event.data, event.created, account, origin)
    if isinstance(found, Rejected):
        return found
    if found is None:
        return ()
    return (Reading(id=f"stripe:{event.id}", event=found, time=event.created * order.SECOND),)


def _thin(event: _Event, account: str, origin: Origin) -> tuple[Reading, ...] | Rejected:
    """Read a thin notification: it names what changed and no more, so a customer is looked at."""
    related = event.related_object
    if related is None or related.type != "customer":
        return ()
    try:
        at = datetime.fromisoformat(str(event.created))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or not event.id or not related.id:
        return _rejected(f"the {event.type} notification has no id, time or object")
    touched = ContactTouched(account=account, contact_id=related.id, origin=origin)
    return (Reading(id=f"stripe:{event.id}", event=touched, time=round(at.timestamp()) * order.SECOND),)


def _fact(event: _Event, data: _Data, created: int, account: str, origin: Origin) -> Event | Rejected | None:
    if event.type in SUBSCRIPTION:
        return _subscribed(event, data, created, account, origin)
    found = customer(data.object)
    if found is None:
        return _rejected(f"the object of the {event.type} event isn't a customer")
    if event.type == CUSTOMER_DELETED:
        # The type is the tombstone: the object is the whole customer or only its id.
        return ContactDeleted(
            account=account,
            contact_id=found.id,
            order=order.of_event(created),
            origin=origin,
            label=event.label,
        )
    if found.deleted:
        # Only a look can say what a change of a deleted customer means.
        return ContactTouched(account=account, contact_id=found.id, origin=origin)
    return ContactChanged(
        account=account,
        contact_id=found.id,
        order=order.of_event(created),
        origin=origin,
        contact=found.contact(),
        object=data.object.copy(),
        subscriptions=found.subscriptions.all() if found.subscriptions else None,
        prior=prior(data.previous_attributes, found),
        label=event.label,
    )


def _subscribed(
    event: _Event, data: _Data, created: int, account: str, origin: Origin
) -> SubscriptionChanged | Rejected | None:
    found = subscription(data.object)
    if found is None:
        return _rejected(f"the object of the {event.type} event isn't a subscription")
    contact_id = ident(found.customer)
    if not contact_id:
        return None
    return SubscriptionChanged(
        account=account,
        contact_id=contact_id,
        order=order.of_event(created),
        origin=origin,
        subscription=found.subscription(),
        ended=event.type == SUBSCRIPTION_ENDED,
    )


def _rejected(reason: str) -> Rejected:
    return Rejected(code="json", reason=reason)
