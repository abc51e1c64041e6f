"""Fields as the lists of the People API, edited so that nothing gets lost that they don't mention."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from services.connectors.google_contacts import person as read
from services.connectors.google_contacts.manifest import CUSTOM, MANIFEST, MARK, WRITE_MARK
from services.connectors.google_contacts.person import PARTS, Json, values
from services.contracts.commands import Aim
from services.contracts.contact import Address, Fields, PersonName, Value, Values
from services.contracts.receipts import Refused

_COMPUTED = {"metadata", "formattedType", "formattedValue", "canonicalForm", "displayNameLastFirst"}
_MULTI = {"emailAddresses", "phoneNumbers", "addresses"}
_KINDS: dict[str, type[str | Address | PersonName]] = {"name": PersonName, "address": Address}


def new(fields: Fields, link: str) -> Json:
    """Return a new person with these fields and the link's id as its mark."""
    return {**changed({}, fields), "clientData": [{"key": MARK, "value": link}]}


def changed(raw: Json, fields: Fields) -> Json:
    """Return the API's fields that change, each with its whole new list (`updateContact` replaces them)."""
    present = read.fields(raw)
    after: Json = {}
    for path, wanted in fields.items():
        if present.get(path, ()) == wanted:
            continue
        match path:
            case "name":
                after["names"] = _names(raw, wanted)
            case "note":
                after["biographies"] = [{"value": wanted[0], "contentType": "TEXT_PLAIN"}] if wanted else []
            case "company" | "job_title":
                now = {**raw, **after}
                key = "name" if path == "company" else "title"
                after["organizations"] = _organizations(now, key, wanted)
            case _ if path in _MULTI:
                after[path] = _many(raw, path, wanted)
            case _:
                now = {**raw, **after}
                after["userDefined"] = _custom(now, path.removeprefix(CUSTOM), wanted)
    return after


def marked(raw: Json, aim: Aim) -> list[Json]:
    """Return the clientData with the mark of this write in the place of its predecessor's."""
    prefix, value = write_mark(aim)
    kept = [
        _plain(each)
        for each in values(raw, "clientData")
        if each.get("key") != WRITE_MARK or not str(each.get("value", "")).startswith(prefix)
    ]
    return [*kept, {"key": WRITE_MARK, "value": value}]


def is_marked(raw: Json, aim: Aim) -> bool:
    """Whether this very write was the last of its link and side to be applied."""
    return write_mark(aim)[1] in read.client_data(raw, WRITE_MARK)


def write_mark(aim: Aim) -> tuple[str, str]:
    """Return what the marks of this link and side begin with, and the mark of this write."""
    prefix = f"{aim.link} {aim.side} "
    return prefix, f"{prefix}{aim.version.incarnation}.{aim.version.n}"


def unwritable(fields: Fields) -> Refused | None:
    """Return the refusal of what can't be sent, without asking Google."""
    found = [(path, why) for path, wanted in fields.items() if (why := _objection(path, wanted))]
    if not found:
        return None
    reason = " ".join(f"{path}: {why}." for path, why in found)
    return Refused(reason=reason, code="unwritable", fields=tuple(path for path, _ in found))


def _objection(path: str, wanted: Values) -> str:
    field = MANIFEST.field(path)
    if field is None and (not path.startswith(CUSTOM) or path == CUSTOM):
        return "Google Contacts has no such field"
    kind: Any = _KINDS.get(field.type, str) if field else str
    if any(not isinstance(value, kind) for value in wanted):
        return "the field can't hold a value of this kind"
    if field is not None and not field.multi and len(wanted) > 1:
        return f"the field holds one value, not {len(wanted)}"
    try:
        msgspec.json.encode(wanted)
    except (UnicodeEncodeError, msgspec.EncodeError):
        return "the value holds characters that can't be sent"
    return ""


def _names(raw: Json, wanted: Values) -> list[Json]:
    name = wanted[0] if wanted and isinstance(wanted[0], PersonName) else PersonName()
    parts = {key: text for part, key in PARTS.items() if (text := getattr(name, part))}
    kept = {key: part for key, part in _first(values(raw, "names")).items() if key.startswith("phonetic")}
    if parts:
        return [{**kept, **parts}]
    return [{**kept, "unstructuredName": name.full}] if name.full else []


def _organizations(raw: Json, key: str, wanted: Values) -> list[Json]:
    first, *others = [_plain(each) for each in values(raw, "organizations")] or [{}]
    first = {**first, key: str(wanted[0])} if wanted else {k: v for k, v in first.items() if k != key}
    return [*([first] if first.keys() - {"type", "current"} else []), *others]


def _custom(raw: Json, key: str, wanted: Values) -> list[Json]:
    """Set the values of one key where it stood first; every other key stays."""
    rows = [_plain(each) for each in values(raw, "userDefined")]
    at = next((i for i, row in enumerate(rows) if str(row.get("key", "")).strip() == key), len(rows))
    kept = [row for row in rows if str(row.get("key", "")).strip() != key]
    return [*kept[:at], *({"key": key, "value": str(value)} for value in wanted), *kept[at:]]


def _many(raw: Json, field: str, wanted: Values) -> list[Json]:
    """Return one entry per value: its own where it has one, else the type of the one whose place it takes."""
    of, written = _reader(field), _writer(field)
    present = [_plain(each) for each in values(raw, field)]
    free = list(range(len(present)))
    rows: list[Json | None] = []
    for value in wanted:
        own = next((i for i in free if of(present[i]) == value), None)
        if own is not None:
            free.remove(own)
        rows.append(None if own is None else present[own])
    # A value that the contact has twice stays twice; what reads as nothing is none of ours.
    kept = [present[i] for i in free if of(present[i]) in {*wanted, "", Address()}]
    gone = [i for i in free if of(present[i]) not in {*wanted, "", Address()}]
    made: list[Json] = []
    for i, (value, row) in enumerate(zip(wanted, rows, strict=True)):
        if row is None:
            before = present[gone.pop(gone.index(i))] if i in gone else {}
            row = written(before, value)  # noqa: PLW2901 - the entry that was missing
        made.append(row)
    return [*made, *kept]


def _reader(field: str) -> Callable[[Json], Value]:
    return read.address if field == "addresses" else lambda row: str(row.get("value", "")).strip()


def _writer(field: str) -> Callable[[Json, Value], Json]:
    return _address if field == "addresses" else lambda before, value: {**_kind(before), "value": str(value)}


def _address(before: Json, value: Value) -> Json:
    """Return the address with what changed; a box number and the like stay while the street does."""
    if not isinstance(value, Address):
        raise TypeError("an address is written as an address")
    old = read.address(before)
    row = dict(before)
    if (old.line1, old.line2) != (value.line1, value.line2):
        row |= {"streetAddress": value.line1, "extendedAddress": value.line2, "poBox": ""}
    row |= {"city": value.city, "region": value.state, "postalCode": value.postal_code}
    if old.country != value.country:
        code = len(value.country) == 2 and value.country.isascii() and value.country.isalpha()
        row |= {"countryCode": value.country if code else "", "country": "" if code else value.country}
    return {key: part for key, part in row.items() if part != ""}


def _kind(before: Json) -> Json:
    return {"type": before["type"]} if before.get("type") else {}


def _plain(value: Json) -> Json:
    """Return an entry without what the API computes."""
    return {key: part for key, part in value.items() if key not in _COMPUTED}


def _first(rows: Iterable[Json]) -> Json:
    return next(iter(rows), {})
