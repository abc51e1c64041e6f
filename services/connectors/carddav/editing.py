"""A card edited in place: only the lines of what changes are touched."""

from collections.abc import Iterable, Mapping

import msgspec

from services.connectors.carddav import fields as read
from services.connectors.carddav.vcard import Card, Line, Parameter, escape, line, split, unescape
from services.contracts.contact import Address, Fields, PersonName, Value, Values

_LABELS = {"X-ABLABEL", "X-ABADR"}
"""What describes another line of its group, and is nothing without it."""

_REQUIRED = {"FN", "N"}
_SPOKEN = ("prefix", "given", "middle", "family", "suffix")
_NOTHING: tuple[Value, ...] = ("", Address())


def new(fields: Fields, link: str) -> Card:
    """Return a new card, marked with the link's id, which is its UID too.

    Version 3.0: every server and client takes it, and nothing that is mapped needs more. No REV: it would be a
    clock's word, while the body must be the same each time it is sent.
    """
    rows = ("BEGIN:VCARD", "VERSION:3.0", "PRODID:-//contactsync//EN", "END:VCARD")
    head, end = [Line(text=row) for row in rows[:3]], Line(text=rows[3])
    required = [line("UID", escape(link), "3.0"), line("FN", "", "3.0"), line("N", ";;;;", "3.0")]
    card = Card(lines=(*head, *required, line(read.MARK, escape(link), "3.0"), end), version="3.0")
    return edit(card, fields)


def edit(card: Card, fields: Mapping[str, Values]) -> Card:
    """Return the card with these fields set; every line of another field stays as it is."""
    named = read.person(card) is not None
    for path, values in fields.items():
        if read.fields(card).get(path) == values:
            continue
        match path:
            case "name":
                card = _with_name(card, values[0] if values and isinstance(values[0], PersonName) else PersonName())
                named = bool(values)
            case "company":
                card = _with_company(card, str(values[0]) if values else "")
            case _ if path in read.SINGLE:
                card = _with_text(card, read.SINGLE[path], str(values[0]) if values else "")
            case _ if path in read.MULTI:
                card = _with_many(card, path, values)
            case _:
                pass
    # FN may not be missing, and must not become a name by standing for a company that has another one now.
    return card if named or _stands_in(card) else _with_text(card, "FN", _stand_in(card))


def with_tag(card: Card, tag: str) -> Card:
    """Return the card with a category more."""
    if tag in read.tags(card):
        return card
    first = read.first(card.all("CATEGORIES"))
    value = f"{first.value},{escape(tag)}" if first else escape(tag)
    return _replaced(card, first, "CATEGORIES", value)


def without_tag(card: Card, tag: str) -> Card:
    """Return the card without a category."""
    lines: list[Line] = []
    for present in card.lines:
        pieces = split(present.value, ",") if present.name == "CATEGORIES" else []
        kept = [piece for piece in pieces if unescape(piece).strip() != tag]
        if kept == pieces:
            lines.append(present)
        elif any(piece.strip() for piece in kept):
            lines.append(present.with_value(",".join(kept), card.version))
    return msgspec.structs.replace(card, lines=tuple(lines))


def _with_name(card: Card, name: PersonName) -> Card:
    before = read.person(card) or PersonName()
    present = read.first(card.all("N"))
    raw = [*(split(present.value, ";") if present else []), "", "", "", "", ""]
    raw = raw[: max(5, len(raw) - 5)]
    parts = [getattr(name, part) for part in read.NAME_PARTS]
    for i, part in enumerate(parts):
        if read.name_part(raw[i]) != part:  # what stays keeps its spelling
            raw[i] = escape(part)
    changed = [getattr(before, part) for part in read.NAME_PARTS] != parts
    if changed or (present is None and any(parts)):
        any_line = present or next(iter(card.all("N")), None)
        card = _replaced(card, any_line, "N", ";".join(raw))
    # A display form that came along unchanged, beside other parts, is an old one.
    full = "" if changed and any(parts) and name.full == before.full else name.full
    shown = full or " ".join(word for part in _SPOKEN if (word := getattr(name, part)))
    return _with_text(card, "FN", shown) if shown else card


def _stands_in(card: Card) -> bool:
    return bool(read.text(read.first(card.all("FN")))) and read.person(card) is None


def _stand_in(card: Card) -> str:
    fields = read.fields(card)
    return next((str(v) for path in ("company", "email", "phone") for v in fields[path]), "")


def _with_text(card: Card, name: str, text: str) -> Card:
    present = read.first(card.all(name))
    if not text and name not in _REQUIRED:
        return _without(card, [present] if present else [])
    return _replaced(card, present or next(iter(card.all(name)), None), name, escape(text))


def _with_company(card: Card, text: str) -> Card:
    present = read.first(card.all("ORG"))
    units = split(present.value, ";")[1:] if present else []
    if not text and present and not any(unit.strip() for unit in units):
        return _without(card, [present])
    return _replaced(card, present, "ORG", ";".join([escape(text), *units])) if text or present else card


def _with_many(card: Card, path: str, values: Values) -> Card:
    name, value_of = read.MULTI[path], read.reader(path)
    old = [present for present in read.ordered(card.all(name)) if value_of(present) not in _NOTHING]
    free = {id(present): present for present in old}
    kept: list[Line | None] = []
    for value in values:  # first the values that stay: they keep their lines
        same = [present for present in free.values() if _key(value_of(present)) == _key(value)]
        kept.append(same[0] if same else None)
        for present in same:  # a value that the card has twice stays twice
            del free[id(present)]
    slots = list({value_of(present): present for present in reversed(old)}.values())[::-1]
    lines: list[Line] = []
    changed: dict[int, Line] = {}
    for i, (value, stays) in enumerate(zip(values, kept, strict=True)):
        # A value in the place of one that goes takes over its type and label.
        slot = stays or (free.pop(id(slots[i]), None) if i < len(slots) else None)
        written = _valued(slot, name, value, card.version)
        if slot is not None:
            changed[id(slot)] = written
        lines.append(written)
    card = _without(card, free.values())
    card = msgspec.structs.replace(card, lines=tuple(changed.get(id(p), p) for p in card.lines))
    present_now = {id(present) for present in card.lines}
    for written in lines:
        card = card if id(written) in present_now else _added(card, written)
    shown = [value_of(p) for p in read.ordered(card.all(name)) if value_of(p) not in _NOTHING]
    in_order = list(dict.fromkeys(shown)) == list(dict.fromkeys(value_of(p) for p in lines))
    return card if in_order else _reordered(card, name, lines)


def _valued(slot: Line | None, name: str, value: Value, version: str) -> Line:
    """Return the line with the value; `slot` itself if it says so already."""
    if isinstance(value, Address):
        if slot is not None and read.address(slot) == value:
            return slot
        raw = _adr(split(slot.value, ";") if slot else [], read.address(slot) if slot else Address(), value)
        return slot.with_value(raw, version) if slot else line(name, raw, version)
    told = str(value)
    if slot is None:
        return line(name, escape(told), version)
    if (read.phone(slot) if name == "TEL" else read.email(slot)) == told:
        return slot
    parameters = [p for p in slot.parameters if p.name != "VALUE"]  # a text now, no URI
    plain = slot if len(parameters) == len(slot.parameters) else slot.with_parameters(parameters, version)
    return plain.with_value(escape(told), version)


def _adr(raw: list[str], before: Address, now: Address) -> str:
    raw = [*raw, "", "", "", "", "", "", ""][: max(7, len(raw))]
    if (before.line1, before.line2) != (now.line1, now.line2):
        street = "\n".join(row for row in (now.line1, now.line2) if row)
        # Two lines of a street stand in one component, as address books show them; the others are obsolete
        # (RFC 6350 section 6.3.1).
        raw[:3] = [raw[0] if unescape(raw[2]).strip() else "", "", escape(street)]
    for i, part in enumerate(("city", "state", "postal_code", "country"), start=3):
        if getattr(before, part) != getattr(now, part):
            raw[i] = escape(getattr(now, part))
    return ";".join(raw)


def _reordered(card: Card, name: str, lines: list[Line]) -> Card:
    """Return the card whose lines of that name, already in it, read in this order; others of it come last."""
    ids = {id(present) for present in lines}
    ranked = [*lines, *(present for present in card.all(name) if id(present) not in ids)]
    preferred = any(read.preference(present) <= 100 for present in ranked)
    plain = [_unpreferred(present, card.version) for present in ranked]
    if preferred and lines:
        head = "PREF=1" if card.version == "4.0" else "TYPE=pref"
        parameter = Parameter(text=head, name=head.partition("=")[0], values=(head.partition("=")[2],))
        plain[0] = plain[0].with_parameters([*plain[0].parameters, parameter], card.version)
    queue = iter(plain)
    return msgspec.structs.replace(
        card, lines=tuple(next(queue) if present.name == name else present for present in card.lines)
    )


def _unpreferred(present: Line, version: str) -> Line:
    if read.preference(present) > 100:
        return present
    kept: list[Parameter] = []
    for parameter in present.parameters:
        words = [value for value in parameter.values if value.lower() != "pref"]
        if parameter.name == "PREF" or not words:
            continue
        same = len(words) == len(parameter.values) or parameter.name not in {"TYPE", ""}
        told = parameter.text if same else f"{parameter.text.partition('=')[0]}={','.join(words)}"
        kept.append(msgspec.structs.replace(parameter, text=told))
    return present.with_parameters(kept, version)


def _key(value: Value) -> Value:
    return value.strip().casefold() if isinstance(value, str) else value


def _replaced(card: Card, present: Line | None, name: str, value: str) -> Card:
    """Return the card in which `present` has the value, or a new line does."""
    if present is None:
        return _added(card, line(name, value, card.version))
    if present.value == value:
        return card
    written = present.with_value(value, card.version)
    return msgspec.structs.replace(card, lines=tuple(written if p is present else p for p in card.lines))


def _added(card: Card, written: Line) -> Card:
    """Return the card with a line more: after the last of its like, else at the end."""
    like = [i for i, present in enumerate(card.lines) if present.name == written.name]
    at = like[-1] + 1 if like else len(card.lines) - 1
    return msgspec.structs.replace(card, lines=(*card.lines[:at], written, *card.lines[at:]))


def _without(card: Card, gone: Iterable[Line]) -> Card:
    """Return the card without these lines, and without the labels that described nothing else."""
    ids = {id(present) for present in gone}
    groups = {present.group for present in card.lines if id(present) in ids and present.group}
    kept = [present for present in card.lines if id(present) not in ids]
    needed = {present.group for present in kept if present.name not in _LABELS}
    orphans = groups - needed
    lines = (p for p in kept if not (p.name in _LABELS and p.group in orphans))
    return msgspec.structs.replace(card, lines=tuple(lines))
