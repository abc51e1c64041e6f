"""Fields as the API takes them: a new customer, or what changes of one (a sparse update)."""

from collections.abc import Mapping
from typing import Any

from services.connectors.quickbooks import country, mark
from services.connectors.quickbooks import customer as read
from services.connectors.quickbooks.customer import LINES, PARTS, PHONES, Json
from services.connectors.quickbooks.manifest import ADDRESS_LENGTHS, MANIFEST, NAME_LENGTH, PART_LENGTHS
from services.connectors.quickbooks.name import called, joined, tidy
from services.contracts.contact import Address, Fields, PersonName, Value, Values
from services.contracts.receipts import Refused

_KINDS: Mapping[str, type[str | Address | PersonName]] = {"name": PersonName, "address": Address}
_ADDRESS_KEYS = {"city": "City", "state": "CountrySubDivisionCode", "postal_code": "PostalCode", "country": "Country"}
_KEPT = ("Id",)
"""What stays of an address that changes: its place on the map isn't the new one's."""


def new(fields: Fields, link: str) -> tuple[Json, str] | Refused:
    """Return a new customer without its DisplayName, and what it is called; it carries the link's id."""
    body = changed({}, fields)
    body.pop("DisplayName", None)
    body["Notes"] = mark.with_mark(str(_first(fields, "Notes") or ""), link)
    wanted = _called(fields)
    if not wanted:
        reason = (
            "QuickBooks calls every customer something: this contact has no name, no company and no e-mail address."
        )
        return Refused(reason=reason, code="no_name")
    return body, wanted


def changed(raw: Json, fields: Fields) -> Json:
    """Return the API's fields that change. DisplayName stands in it if the customer is called otherwise now."""
    present = read.fields(raw)
    body: Json = {}
    for path, wanted in fields.items():
        if present.get(path, ()) == wanted:
            continue
        value = wanted[0] if wanted else None
        match path:
            case "name":
                body |= _name(raw, value if isinstance(value, PersonName) else PersonName())
            case "PrimaryEmailAddr":
                others = read.addresses(raw)[1:]
                kept = [each for each in others if value is None or each.casefold() != str(value).casefold()]
                body[path] = {"Address": ",".join([*([str(value)] if value else []), *kept])}
            case "CompanyName":
                body[path] = str(value or "")
            case "WebAddr":
                body[path] = {"URI": str(value or "")}
            case "Notes":
                body[path] = mark.with_mark(str(value or ""), mark.of(read.text(raw, "Notes")))
            case _ if path in PHONES:
                body[path] = {"FreeFormNumber": str(value or "")}
            case _:
                body[path] = _address(raw.get(path), value if isinstance(value, Address) else Address())
    return body


def unwritable(fields: Fields) -> Refused | None:
    """Return the refusal of what can't be sent, without asking QuickBooks."""
    found = [(path, why) for path, wanted in fields.items() if (why := _objection(path, wanted))]
    if not found:
        return None
    reason = " ".join(f"{path}: {why}." for path, why in found)
    return Refused(reason=reason, code="unwritable", fields=tuple(path for path, _ in found))


def _objection(path: str, wanted: Values) -> str:
    field = MANIFEST.field(path)
    if field is None:
        return "QuickBooks has no such field"
    kind: Any = _KINDS.get(field.type, str)
    if any(not isinstance(value, kind) for value in wanted):
        return "the field can't hold a value of this kind"
    if len(wanted) > 1:
        return f"the field holds one value, not {len(wanted)}"
    texts = _texts(wanted[0], field.max_length) if wanted else {}
    for value, limit in texts.values():
        if not _encodable(value):
            return "the value holds characters that can't be sent"
        if limit is not None and len(value) > limit:
            return f"QuickBooks takes at most {limit} characters here, this value has {len(value)}"
    if field.type == "name" and any(":" in value for value, _ in texts.values()):
        return "QuickBooks takes no colon in names"
    if field.type == "email" and wanted:
        return _email_objection(str(wanted[0]))
    return ""


def _email_objection(value: str) -> str:
    if "@" not in value or "." not in value:
        return "QuickBooks takes only addresses with an @ and a dot"
    return "the field holds one address" if "," in value or ";" in value else ""


def _texts(value: Value, limit: int | None) -> dict[str, tuple[str, int | None]]:
    """Return every text in a value, and how long each may be."""
    match value:
        case str():
            return {"": (value, limit)}
        case PersonName():
            parts = {part: (tidy(getattr(value, part)), most) for part, most in PART_LENGTHS.items()}
            return {**parts, "full": (tidy(value.full) or joined(value), NAME_LENGTH)}
        case Address():
            return {part: (getattr(value, part), most) for part, most in ADDRESS_LENGTHS.items()}


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _called(fields: Fields) -> str:
    name = _first(fields, "name")
    company, email = _first(fields, "CompanyName"), _first(fields, "PrimaryEmailAddr")
    return called(name if isinstance(name, PersonName) else None, str(company or ""), str(email or ""))


def _first(fields: Fields, path: str) -> Value | None:
    return next(iter(fields.get(path, ())), None)


def _name(raw: Json, wanted: PersonName) -> Json:
    """Return the parts that change. What the customer is called follows its name, unless a person chose otherwise."""
    before = read.name(raw)
    body: Json = {}
    for part, key in PARTS.items():
        value = tidy(getattr(wanted, part))
        if value != getattr(before, part):
            body[key] = value
    follows = not joined(before) or tidy(before.full).casefold() == joined(before).casefold()
    display = called(wanted, "", "")
    if follows and display and display != before.full:
        body["DisplayName"] = display
    return body


def _address(raw: Any, wanted: Address) -> Json:
    """Return the whole address: whether a sparse update merges or replaces it is then the same."""
    before: Json = raw if isinstance(raw, dict) else {}
    old = read.address(before)
    body = {key: before[key] for key in _KEPT if key in before}
    if (old.line1, old.line2) == (wanted.line1, wanted.line2):
        body |= {key: before.get(key) or "" for key in LINES}
    else:
        body |= dict.fromkeys(LINES, "") | {"Line1": wanted.line1, "Line2": wanted.line2}
    for part, key in _ADDRESS_KEYS.items():
        body[key] = getattr(wanted, part)
    if country.code(read.text(before, "Country")) == country.code(wanted.country):
        body["Country"] = read.text(before, "Country")
    return body
