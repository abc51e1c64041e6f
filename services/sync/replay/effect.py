"""What a transaction changed and sent: as a fingerprint to compare with, or as it is, where a person decided it."""

from collections.abc import Mapping
from hashlib import blake2b

import msgspec
from msgspec.structs import replace

from services.sync.core.slice import ContactKey, Slice
from services.sync.replay.inputs import Given, Known, Linked, Opened, Reserved, Row

_encode = msgspec.json.Encoder(order="deterministic").encode


def effect(before: Mapping[ContactKey, str], state: Slice) -> str:
    """Return a fingerprint of what changed in a slice and of its commands, with all values.

    `before`: the reservations as they were loaded. Places in the order of first sight aren't part of it.
    """
    told = blake2b(digest_size=16)
    for key in sorted(state.dirty_records):
        told.update(_encode(state.records[key]))
        told.update(bytes(state.objects.get(key, b"null")))
    for link_id in sorted(state.dirty_links):
        told.update(_encode(replace(state.links[link_id], seq=None)))
    told.update(_encode([state.windows[name][opened] for name, opened in sorted(state.dirty_windows)]))
    told.update(_encode(released(before, state)))
    told.update(_encode(reserved(before, state)))
    for command, app in state.commands:
        told.update(_encode((app, command)))
    return told.hexdigest()


def released(before: Mapping[ContactKey, str], state: Slice) -> list[ContactKey]:
    """Return the reservations that went, sorted."""
    return sorted(key for key in before if key not in state.reservations)


def reserved(before: Mapping[ContactKey, str], state: Slice) -> list[tuple[str, str, str]]:
    """Return the reservations that came, or have another holder, sorted: account, address, link."""
    return sorted((*key, link) for key, link in state.reservations.items() if before.get(key) != link)


def given(before: Mapping[ContactKey, str], state: Slice, seqs: Mapping[str, int]) -> Given:
    """Return what changed in a slice, as it is. `seqs`: the places of new links in the order of first sight."""
    rows: list[Row] = [
        Known(record=state.records[key], object=bytes(state.objects.get(key, b"null")).decode())
        for key in sorted(state.dirty_records)
    ]
    for link_id in sorted(state.dirty_links):
        link = state.links[link_id]
        rows.append(Linked(link=replace(link, seq=seqs.get(link_id, link.seq))))
    rows += [
        Reserved(account=account, address=address, link=link) for account, address, link in reserved(before, state)
    ]
    rows += [Opened(window=state.windows[name][opened]) for name, opened in sorted(state.dirty_windows)]
    return Given(rows=tuple(rows), released=tuple(released(before, state)))
