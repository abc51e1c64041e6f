"""The conformance suite's half for ingest: verifying and reading deliveries, scanning and polling."""
# ruff: noqa: S101 - checks assert

from __future__ import annotations

from typing import Any

import msgspec

from services.connectors.bench import Check, InapplicableError, Lab, must
from services.contracts.app import Ability, CursorLost, Reading, Rejected, Wake
from services.contracts.events import ContactChanged, ContactDeleted


async def scans_everything(lab: Lab) -> None:
    """A scan shows every contact once, and where the feed goes on."""
    made = {await lab.created() for _ in range(3)}
    readings, _ = await lab.scanned()
    seen = [event.contact_id for event in _events(readings, ContactChanged)]
    assert made <= set(seen)
    assert len(seen) == len(set(seen))


async def polls_changes_and_deletions(lab: Lab) -> None:
    """After a scan, the feed has what is made, changed and deleted."""
    kept, removed = await lab.created(), await lab.created()
    await lab.bench.settled()
    _, cursor = await lab.scanned()
    await lab.bench.edit(kept, lab.text, "Changed")
    await lab.bench.remove(removed)
    await lab.bench.settled()
    readings, _ = await lab.polled(cursor)
    changed = [e for e in _events(readings, ContactChanged) if e.contact_id == kept]
    assert changed
    assert changed[-1].contact.fields[lab.text] == ("Changed",)
    assert removed in {e.contact_id for e in _events(readings, ContactDeleted)}


async def poll_resumes_from_cursor(lab: Lab) -> None:
    """A poll can be repeated from its cursor, and the next one goes on behind it."""
    _, cursor = await lab.scanned()
    contact_id = await lab.created()
    await lab.bench.settled()
    first, following = await lab.polled(cursor)
    again, _ = await lab.polled(cursor)
    assert contact_id in {e.contact_id for e in _events(first, ContactChanged)}
    assert {e.contact_id for e in _events(first, ContactChanged)} <= {
        e.contact_id for e in _events(again, ContactChanged)
    }
    other = await lab.created()
    await lab.bench.settled()
    later, _ = await lab.polled(following)
    assert other in {e.contact_id for e in _events(later, ContactChanged)}


async def poll_recovers_from_expired_cursor(lab: Lab) -> None:
    """A cursor that the app has forgotten is said to be lost, and a scan gives another."""
    if lab.bench.lost_cursor is None:
        raise InapplicableError("its cursors are good for ever")
    must(await lab.app.poll(lab.access(), lab.bench.lost_cursor), CursorLost)
    _, cursor = await lab.scanned()
    await lab.polled(cursor)


async def verify_accepts_signed(lab: Lab) -> None:
    """A delivery signed with one of the secrets is accepted."""
    for delivery, secrets, now in _deliveries(lab):
        assert lab.app.verify(delivery, secrets, now) is None
        assert lab.app.verify(delivery, ("another secret", *secrets), now) is None


async def verify_rejects_tampered(lab: Lab) -> None:
    """A changed byte, a missing signature and a foreign secret are rejected."""
    for delivery, secrets, now in _deliveries(lab):
        body = delivery.body[:-1] + bytes([delivery.body[-1] ^ 1])
        must(lab.app.verify(msgspec.structs.replace(delivery, body=body), secrets, now), Rejected)
        must(lab.app.verify(msgspec.structs.replace(delivery, headers=()), secrets, now), Rejected)
        must(lab.app.verify(delivery, ("another secret",), now), Rejected)


async def verify_rejects_stale(lab: Lab) -> None:
    """A delivery of an hour ago is rejected."""
    for delivery, secrets, now in _deliveries(lab):
        must(lab.app.verify(delivery, secrets, now + 3600), Rejected)


async def read_is_deterministic(lab: Lab) -> None:
    """One delivery reads the same twice."""
    for delivery, _, _ in _deliveries(lab):
        assert lab.app.read(delivery) == lab.app.read(delivery)


async def read_ids_are_stable(lab: Lab) -> None:
    """An event's id doesn't depend on when or how it was delivered, and no two events share one.

    A delivery that only says that the feed has news has no event, and says so whenever it comes.
    """
    ids: list[str] = []
    wakes = 0
    for delivery, _, _ in _deliveries(lab):
        outcome = lab.app.read(delivery)
        later = lab.app.read(msgspec.structs.replace(delivery, received=delivery.received + 1))
        if isinstance(outcome, Wake):
            must(later, Wake)
            wakes += 1
            continue
        readings, again = must(outcome, tuple), must(later, tuple)
        assert [reading.id for reading in readings] == [reading.id for reading in again]
        ids += [reading.id for reading in readings]
    assert ids or wakes
    assert len(ids) == len(set(ids))


def _events(readings: list[Reading], kind: type[ContactChanged | ContactDeleted]) -> list[Any]:
    return [reading.event for reading in readings if isinstance(reading.event, kind)]


def _deliveries(lab: Lab) -> list[tuple[Any, Any, float]]:
    found = list(lab.bench.deliveries())
    assert found, "the bench has no deliveries"
    return found


_POLL = frozenset({Ability.POLL})
_WEBHOOK = frozenset({Ability.WEBHOOK})

READING: tuple[Check, ...] = (
    Check("verify_accepts_signed", _WEBHOOK, verify_accepts_signed),
    Check("verify_rejects_tampered", _WEBHOOK, verify_rejects_tampered),
    Check("verify_rejects_stale", _WEBHOOK, verify_rejects_stale),
    Check("read_is_deterministic", _WEBHOOK, read_is_deterministic),
    Check("read_ids_are_stable", _WEBHOOK, read_ids_are_stable),
    Check("scans_everything", _POLL, scans_everything),
    Check(
        "polls_changes_and_deletions", frozenset({Ability.POLL, Ability.DETECT_DELETION}), polls_changes_and_deletions
    ),
    Check("poll_resumes_from_cursor", _POLL, poll_resumes_from_cursor),
    Check("poll_recovers_from_expired_cursor", _POLL, poll_recovers_from_expired_cursor),
)
"""The rows of these checks."""
