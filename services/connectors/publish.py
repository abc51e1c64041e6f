"""What the connectors say: events, receipts and parked messages, decided in a transaction and published after it.

`enqueue` writes a message into the transaction that decided it, `flush` publishes what is there and removes it once
the log has confirmed. A crash in between publishes it again under the same id; whoever reads it has seen it already.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

import msgspec

from services.contracts.app import Gone, Seen
from services.contracts.commands import Aim
from services.contracts.contact import Order
from services.contracts.envelope import Headers, derived, event_key, headers, seal
from services.contracts.events import ContactChanged, ContactDeleted, Event, LookAnswer
from services.contracts.receipts import Absent, AccountBack, Found, Outcome, Receipt, Unknown
from services.runtime.log import EVENTS, PARKED, RECEIPTS, Log, Message, Record
from services.runtime.store import Connection, Store
from services.runtime.suppression import Suppressions

_suppressions = Suppressions()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AT_ONCE = 200
_INSERT = """
INSERT INTO connectors.report (account, topic, everywhere, key, headers, value) VALUES ($1, $2, $3, $4, $5, $6)
"""
_NEXT = "SELECT * FROM connectors.report WHERE account = $1 ORDER BY id LIMIT $2"
# What a power cut brings back is published once more, and has been seen: not worth a flush of the disk.
_DONE = """
DELETE FROM connectors.report USING (SELECT set_config('synchronous_commit', 'off', true)) unhurried
 WHERE id = ANY($1::bigint[])
"""


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """A message for a topic."""

    topic: str
    message: Message
    everywhere: bool = False
    """To every partition."""


def microseconds(time: datetime) -> int:
    """Microseconds since 1970 of an aware time, exactly."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def written(aim: Aim, outcome: Outcome, *, app: str, now: datetime, traceparent: str | None) -> Outgoing:
    """The receipt of a write. A settling receipt has one id per version, so that a repetition collapses."""
    causes = (aim.link, aim.side, aim.version.incarnation, aim.version.n)
    id_ = derived("unknown", *causes) if isinstance(outcome, Unknown) else derived("receipt", *causes)
    receipt = Receipt(aim=aim, outcome=outcome)
    envelope = seal(receipt, id=id_, source=app, subject=aim.link, time=now, traceparent=traceparent)
    return Outgoing(
        topic=RECEIPTS,
        message=Message(key=aim.link.encode(), headers=headers(envelope), value=envelope.data),
    )


def look_answer(
    account: str, answer: Seen | Gone, look: LookAnswer, *, now: datetime, traceparent: str | None = None
) -> Outgoing:
    """The event that answers a look."""
    id_ = derived("look", account, answer.contact_id, look.number, look.attempt)
    match answer:
        case Seen():
            event: Event = ContactChanged(
                account=account,
                contact_id=answer.contact_id,
                order=answer.order,
                origin="look",
                contact=answer.contact,
                object=answer.object,
                subscriptions=answer.subscriptions,
                look=look,
            )
        case Gone():
            event = ContactDeleted(
                account=account, contact_id=answer.contact_id, order=answer.order, origin="look", look=look
            )
    return _event(event, account, answer.contact_id, id_, now, traceparent)


def find_hit(account: str, seen: Seen, *, find: str, now: datetime) -> Outgoing:
    """The event of a contact that a find saw. `find` names the find and its try."""
    event = ContactChanged(
        account=account,
        contact_id=seen.contact_id,
        order=seen.order,
        origin="find",
        contact=seen.contact,
        object=seen.object,
        subscriptions=seen.subscriptions,
    )
    return _event(event, account, seen.contact_id, derived("find", account, find, seen.contact_id), now)


def found(report: Found | Absent, *, app: str, now: datetime, traceparent: str | None = None) -> Outgoing:
    """The answer of a find, for the link that asked."""
    id_ = derived("found", report.account, report.address, report.link, report.number)
    envelope = seal(report, id=id_, source=app, subject=report.link, time=now, traceparent=traceparent)
    return Outgoing(
        topic=RECEIPTS,
        message=Message(key=report.link.encode(), headers=headers(envelope), value=envelope.data),
    )


def account_back(account: str, *, since: datetime, app: str, now: datetime) -> Outgoing:
    """The notice, for every partition, that an account which was away `since` then takes commands again."""
    envelope = seal(
        AccountBack(account=account),
        id=derived("account_back", account, microseconds(since)),
        source=app,
        subject="",
        time=now,
    )
    return Outgoing(
        topic=RECEIPTS,
        message=Message(key=account.encode(), headers=headers(envelope), value=envelope.data),
        everywhere=True,
    )


def parked(record: Record, reason: str) -> Outgoing:
    """A message that can't be read, as it came, with the reason and the place it came from."""
    place = f"{record.partition.topic}/{record.partition.number}/{record.offset}"
    rows = (*record.headers, ("parked_reason", reason.encode()), ("parked_from", place.encode()))
    return Outgoing(topic=PARKED, message=Message(key=record.key, headers=rows, value=record.value))


def an_order(start: datetime, end: datetime) -> Order:
    """The order of an observation made between two moments of the clock."""
    return Order(microseconds(start), microseconds(end))


async def enqueue(tx: Connection, account: str, messages: Iterable[Outgoing]) -> None:
    """Put messages of `account` into the transaction, to be published in this order; not of people forgotten."""
    messages = list(messages)
    if not messages:
        return
    suppressed = await _suppressions.held(tx)
    rows = [
        (
            account,
            outgoing.topic,
            outgoing.everywhere,
            outgoing.message.key,
            header_text(outgoing.message.headers),
            outgoing.message.value,
        )
        for outgoing in messages
        if not suppressed.refuses(outgoing.message)
    ]
    if rows:
        await tx.executemany(_INSERT, rows)


async def flush(store: Store, log: Log, account: str) -> int:
    """Publish what `account` has to say, in order; return how many messages the log confirmed.

    Messages of one topic that follow one another go out together; the next group waits for their confirmation, so a
    find's hits are in the log before its receipts. Raises `LogUnavailableError`: what wasn't confirmed stays.
    """
    rows = await store.fetch(_NEXT, account, _AT_ONCE)
    for (topic, everywhere), group in groupby(rows, key=lambda row: (row["topic"], row["everywhere"])):
        batch = list(group)
        messages = [_message(row["key"], row["headers"], row["value"]) for row in batch]
        if everywhere:
            for message in messages:
                await log.publish_everywhere(topic, message)
        else:
            await log.publish(topic, messages)
        await store.execute(_DONE, [row["id"] for row in batch])
    return len(rows)


def _message(key: bytes, rows: str, value: bytes) -> Message:
    return Message(key=key, headers=header_pairs(rows), value=value)


def header_text(rows: Headers) -> bytes:
    """Message headers as JSON; their values are text."""
    return msgspec.json.encode([(name, value.decode("utf-8", "replace")) for name, value in rows])


def header_pairs(text: str) -> Headers:
    """Message headers from JSON."""
    pairs: Sequence[tuple[str, str]] = msgspec.json.decode(text, type=list[tuple[str, str]])
    return tuple((name, value.encode()) for name, value in pairs)


def _event(
    event: Event, account: str, contact_id: str, id_: str, now: datetime, traceparent: str | None = None
) -> Outgoing:
    envelope = seal(event, id=id_, source=account, subject=contact_id, time=now, traceparent=traceparent)
    return Outgoing(
        topic=EVENTS,
        message=Message(key=event_key(account, contact_id), headers=headers(envelope), value=envelope.data),
    )
