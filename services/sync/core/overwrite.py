"""A write to an app without a lock may overwrite an edit: noticed by the write's own echo, and put back (P14)."""

from msgspec.structs import replace

from services.contracts.app import Ability
from services.contracts.commands import Version
from services.contracts.contact import SIDES, Contact, Side
from services.contracts.envelope import derived
from services.contracts.events import ContactChanged
from services.sync.core.actions import noticed_text
from services.sync.core.mapping import Config, Line, normal_view, observed
from services.sync.core.slice import Slice
from services.sync.core.state import Expected, Half, LineWrite, Link, Normal, Overwritten, other
from services.sync.core.values import Want

REMEMBERED = 3_600_000_000
"""Microseconds for which a write waits for its echo."""
_REPETITIONS = 5
"""How often a write may have been sent under a new key, each after proof that the one before did nothing."""


def expecting(
    config: Config, half: Half, side: Side, version: Version, wants: list[Want], contact: Contact, now: int
) -> Half:
    """Remember what a write to an app without a lock expects the fields to hold."""
    if Ability.GUARD in config.manifest(side).abilities:
        return half
    lines = {
        want.line.id: LineWrite(normal_view(observed(contact, want.line, side), want.line, side), want.write.wanted)
        for want in wants
    }
    going = tuple(old for old in half.expects if old.until > now)
    return replace(half, expects=(*going, Expected(version=version, until=now + REMEMBERED, lines=lines)))


def notice(state: Slice, event: ContactChanged) -> None:
    """Look for an overwritten edit in the echo of a write of ours: what stood before was neither expected nor ours."""
    record = state.records.get((event.account, event.contact_id))
    if event.label is None or record is None:
        return
    for link in state.links_of(record):
        config = state.configs[link.connection]
        for side in SIDES:
            half = link.half(side)
            if half.contact_id != event.contact_id or config.account(side) != event.account:
                continue
            if half.pending is not None and event.label in _keys(link, side, half.pending.version):
                half = replace(half, pending=replace(half.pending, echoed=True))
            for expected in half.expects:
                if event.label in _keys(link, side, expected.version):
                    half = _noticed(config, half, side, expected, event)
            texts = [each.version for each in half.applied.values()]
            texts += [half.pending.version] if half.pending is not None and half.pending.doing is not None else []
            for version in texts:
                if event.label in _keys(link, side, version):
                    half = noticed_text(half, version, event.prior)
            state.put_link(state.links[link.id].with_half(side, half))


def _keys(link: Link, side: Side, version: Version) -> set[str]:
    parts = ("write", link.id, side, version.incarnation, version.n)
    return {derived(*parts), *(derived(*parts, again) for again in range(1, _REPETITIONS))}


def _noticed(config: Config, half: Half, side: Side, expected: Expected, event: ContactChanged) -> Half:
    found = dict(half.overwritten)
    before = Contact(fields=event.prior)
    for line in config.lines:
        write = expected.lines.get(line.id)
        # In one direction, and where the other side wins, the overwritten edit has lost by the rules (D8).
        if write is None or line.flow != "both" or config.connection.winner != side:
            continue
        if line.field(side).path not in event.prior:
            continue
        stood = normal_view(observed(before, line, side), line, side)
        if stood not in (write.source, write.wanted):
            found[line.id] = Overwritten(values=observed(before, line, side), written=write.wanted)
    told = frozenset(line for line in expected.lines if found.get(line) is not half.overwritten.get(line))
    going = tuple(_outdated(each, expected.version, told) for each in half.expects if each != expected)
    return replace(half, overwritten=found, expects=going)


def _outdated(earlier: Expected, version: Version, lines: frozenset[str]) -> Expected:
    """Return what a write expects without the lines that somebody edited after it: what it overwrote is past."""
    if earlier.version > version:
        return earlier
    kept = {line: write for line, write in earlier.lines.items() if line not in lines}
    return replace(earlier, lines=kept)


def put(half: Half, line: str, value: Normal) -> Half:
    """Remember what a write of ours put into a field, as long as the echo of some write may tell of an edit there."""
    return replace(half, put={**half.put, line: value} if half.expects or half.overwritten else {})


def restoring(link: Link, line: Line, left: Contact, right: Contact) -> Want | Side | None:
    """Return the write that puts an overwritten edit back, or the side whose memory of one is void, or None.

    It is void once the field holds what no command of ours put there.
    """
    for side, contact in (("left", left), ("right", right)):
        on: Side = "left" if side == "left" else "right"
        kept = link.half(on).overwritten.get(line.id)
        if kept is None:
            continue
        present = normal_view(observed(contact, line, on), line, on)
        wanted = normal_view(kept.values, line, on)
        ours = (kept.written, link.half(on).put.get(line.id))
        if present not in ours or present == wanted:
            return on
        source = normal_view(observed(right if on == "left" else left, line, other(on)), line, other(on))
        return Want(line=line, target=on, values=kept.values, write=LineWrite(source, wanted), restores=True)
    return None


def forgotten(half: Half, line: str) -> Half:
    """Return the half without the memory of an overwritten value of that line."""
    return replace(half, overwritten={key: kept for key, kept in half.overwritten.items() if key != line})
