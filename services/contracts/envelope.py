"""The envelope every message travels in: CloudEvents' attribute names as headers, the body as JSON.

This module alone encodes and decodes messages. Reading is in two steps, headers first and then the body by
(type, v), so that a type nobody knows yet can be set aside instead of stopping a consumer.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha1
from typing import TypeAlias
from uuid import UUID

import msgspec
from msgspec.structs import replace

from services.contracts import commands, events, receipts, upcast

Message: TypeAlias = events.Event | commands.Command | receipts.Report
Headers: TypeAlias = tuple[tuple[str, bytes], ...]

NAMESPACE = UUID("6f0c3c0e-6f2b-5c55-9d0b-2f8f3f1f5b61")
"""The namespace of every id that is derived rather than drawn."""

TYPES: Mapping[str, tuple[int, type[Message]]] = {
    "contact.changed": (1, events.ContactChanged),
    "contact.deleted": (1, events.ContactDeleted),
    "contact.touched": (1, events.ContactTouched),
    "contact.merged": (1, events.ContactMerged),
    "subscription.changed": (1, events.SubscriptionChanged),
    "scan.finished": (1, events.ScanFinished),
    "command.create": (1, commands.Create),
    "command.update": (1, commands.Update),
    "command.tag": (1, commands.Tag),
    "command.untag": (1, commands.Untag),
    "command.look": (1, commands.Look),
    "command.find": (1, commands.Find),
    "receipt.write": (1, receipts.Receipt),
    "receipt.found": (1, receipts.Found),
    "receipt.absent": (1, receipts.Absent),
    "receipt.account_back": (1, receipts.AccountBack),
}
"""Message type -> its present version and struct."""

_NAMES = {struct: (name, v) for name, (v, struct) in TYPES.items()}
_REQUIRED = ("ce_id", "ce_type", "ce_source", "ce_time", "ce_v")
_encoder = msgspec.json.Encoder(order="deterministic")
LARGEST_WHOLE = 2 << 20
"""Bytes of a body up to which the app's own object travels along; beyond, whoever needs it reads the contact."""
_NO_OBJECT = msgspec.Raw(b"null")


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """One message with its attributes."""

    id: str
    """Derived from the source's own id, so that duplicates collapse."""
    type: str
    v: int
    source: str
    """Who says so: an account for events, `sync` for commands, an app for receipts."""
    subject: str
    """What it is about: a contact id or a link id; empty where it is about a whole account."""
    time: datetime
    """When it happened for the source, with its time zone."""
    data: bytes
    traceparent: str | None = None


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """A message that can't be read, to be parked with the reason."""

    reason: str


def event_key(account: str, contact_id: str) -> bytes:
    """Return the key of every event about this contact: all of them stand in one partition, in order."""
    return f"{account}\x00{contact_id}".encode()


def derived(*causes: object) -> str:
    """Return the id that follows from `causes`: the same causes, the same id."""
    # What `uuid5` comes to (https://www.rfc-editor.org/rfc/rfc9562#section-5.5), in less than half of its time: every
    # event asks for several.
    digest = sha1(NAMESPACE.bytes + "\x1f".join(map(str, causes)).encode(), usedforsecurity=False).digest()
    marks = bytes((digest[6] & 0x0F | 0x50, digest[7], digest[8] & 0x3F | 0x80))
    text = (digest[:6] + marks + digest[9:16]).hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def seal(
    message: Message, *, id: str, source: str, subject: str, time: datetime, traceparent: str | None = None
) -> Envelope:
    """Wrap a message. `id` must be derived from its cause, `time` be aware of its zone.

    A body over `LARGEST_WHOLE` (a card with a large photograph) leaves the app's own object out, so that the log
    takes it.
    """
    name, v = _NAMES[type(message)]
    data = _encoder.encode(message)
    if len(data) > LARGEST_WHOLE:
        data = _encoder.encode(_without_object(message))
    return Envelope(
        id=id, type=name, v=v, source=source, subject=subject, time=time, data=data, traceparent=traceparent
    )


def _without_object(message: Message) -> Message:
    match message:
        case events.ContactChanged() | commands.Update() | commands.Tag() | commands.Untag():
            return replace(message, object=_NO_OBJECT)
        case receipts.Receipt(outcome=(receipts.Written() | receipts.Unchanged() | receipts.Stale()) as outcome) if (
            outcome.seen is not None
        ):
            return replace(message, outcome=replace(outcome, seen=replace(outcome.seen, object=_NO_OBJECT)))
        case _:
            return message


def unseal(envelope: Envelope) -> Message | Unreadable:
    """Return the message inside, lifted to its present version, or why it can't be read."""
    known = TYPES.get(envelope.type)
    if known is None:
        return Unreadable(reason=f"unknown message type {envelope.type!r}: update contactsync, then release it")
    v, struct = known
    if envelope.v > v:
        return Unreadable(
            reason=f"{envelope.type} version {envelope.v} is newer than this contactsync: update, then release it"
        )
    try:
        if envelope.v == v:
            return msgspec.json.decode(envelope.data, type=struct)
        return msgspec.convert(upcast.lift(envelope.type, envelope.v, v, envelope.data), type=struct)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, upcast.MissingUpcastError) as error:
        # A decoder's message may quote contact data; the type and version are enough to find the message.
        return Unreadable(reason=f"{envelope.type} version {envelope.v} has a broken body ({type(error).__name__})")


def headers(envelope: Envelope) -> Headers:
    """Return the envelope's attributes as message headers (CloudEvents binary mode)."""
    rows = [
        ("ce_specversion", b"1.0"),
        ("ce_id", envelope.id.encode()),
        ("ce_type", envelope.type.encode()),
        ("ce_v", str(envelope.v).encode()),
        ("ce_source", envelope.source.encode()),
        ("ce_subject", envelope.subject.encode()),
        ("ce_time", envelope.time.isoformat().encode()),
        ("content-type", b"application/json"),
    ]
    if envelope.traceparent:
        rows.append(("traceparent", envelope.traceparent.encode()))
    return tuple(rows)


def from_headers(rows: Iterable[tuple[str, bytes]], value: bytes | None) -> Envelope | Unreadable:
    """Rebuild the envelope from a log record's headers and value, or say why that is impossible."""
    try:
        attributes = {name: raw.decode() for name, raw in rows}
    except UnicodeDecodeError:
        return Unreadable(reason="a header isn't UTF-8")
    missing = [name for name in _REQUIRED if not attributes.get(name)]
    if missing or value is None:
        return Unreadable(reason=f"not a contactsync message: {', '.join(missing) or 'its body'} is missing")
    try:
        time, v = datetime.fromisoformat(attributes["ce_time"]), int(attributes["ce_v"])
    except ValueError:
        return Unreadable(reason="ce_time or ce_v can't be read")
    if time.tzinfo is None:
        return Unreadable(reason="ce_time has no time zone")
    return Envelope(
        id=attributes["ce_id"],
        type=attributes["ce_type"],
        v=v,
        source=attributes["ce_source"],
        subject=attributes.get("ce_subject", ""),
        time=time,
        data=value,
        traceparent=attributes.get("traceparent"),
    )
