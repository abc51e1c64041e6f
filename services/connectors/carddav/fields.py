"""A card read as a contact."""

from collections.abc import Callable, Iterable

from services.connectors.carddav.vcard import Broken, Card, Line, split, unescape
from services.contracts.contact import Address, Contact, Fields, PersonName, Values

MARK = "X-CONTACTSYNC-LINK"
"""The property that holds the id of the link whose create made the card."""

NAME_PARTS = ("family", "given", "middle", "prefix", "suffix")
"""N's components in order (RFC 6350 section 6.2.2)."""

MULTI = {"email": "EMAIL", "phone": "TEL", "address": "ADR"}
"""Fields with many values, and their property."""

SINGLE = {"job_title": "TITLE", "note": "NOTE"}
"""Fields that are one text, and their property."""


def contact(card: Card, guard: str | None) -> Contact:
    """Return the card as a contact to be written under the etag `guard`."""
    return Contact(fields=fields(card), tags=tags(card), mark=mark(card), guard=guard)


def fields(card: Card) -> Fields:
    """Return every field's values, primary first."""
    name = person(card)
    found: Fields = {
        "name": (name,) if name else (),
        "email": _distinct(email(line) for line in ordered(card.all("EMAIL"))),
        "phone": _distinct(phone(line) for line in ordered(card.all("TEL"))),
        "address": _addresses(card),
        "company": _texts(company(card)),
    }
    for path, name_of_property in SINGLE.items():
        found[path] = _texts(text(first(card.all(name_of_property))))
    return found


def person(card: Card) -> PersonName | None:
    """Return the name in parts, FN as its display form; None if the card has none.

    An FN that only repeats the company, an e-mail address or a phone number, beside an empty N, is what a card
    without a name shows, as FN may not be missing.
    """
    full = text(first(card.all("FN")))
    parts = name_parts(first(card.all("N")))
    if any(parts.values()):
        return PersonName(**parts, full=full)
    stand_ins = {company(card), *map(email, card.all("EMAIL")), *map(phone, card.all("TEL"))}
    return PersonName(full=full) if full and full not in stand_ins else None


def name_parts(line: Line | None) -> dict[str, str]:
    """Return N's components by the name they have in `PersonName`; all of them, however few the line has."""
    components = split(line.value, ";") if line else []
    padded = [*components, "", "", "", "", ""]
    return {part: name_part(raw) for part, raw in zip(NAME_PARTS, padded, strict=False)}


def name_part(raw: str) -> str:
    """Return what one component of N says; several names in it stand after one another."""
    return " ".join(word for piece in split(raw, ",") if (word := unescape(piece).strip()))


def address(line: Line) -> Address:
    """Return ADR's components. The street's further lines, or the extended address, are the second line."""
    raw = [*split(line.value, ";"), "", "", "", "", "", "", ""]
    box, extended, street, city, state, code, country = (unescape(piece).strip() for piece in raw[:7])
    lines = [row.strip() for row in street.split("\n") if row.strip()]
    lines = [*lines, extended] if lines and extended else lines or [row for row in (extended, box) if row]
    return Address(
        line1=lines[0] if lines else "",
        line2=", ".join(lines[1:]),
        city=city,
        state=state,
        postal_code=code,
        country=country,
    )


def email(line: Line) -> str:
    """Return an EMAIL's address."""
    return _without_scheme(text(line), "mailto:")


def phone(line: Line) -> str:
    """Return a TEL's number; version 4 writes it as a URI too."""
    return _without_scheme(text(line), "tel:")


def company(card: Card) -> str:
    """Return ORG's first component."""
    line = first(card.all("ORG"))
    return unescape(split(line.value, ";")[0]).strip() if line else ""


def tags(card: Card) -> tuple[str, ...]:
    """Return the categories."""
    pieces = (piece for line in card.all("CATEGORIES") for piece in split(line.value, ","))
    return tuple(sorted({tag for piece in pieces if (tag := unescape(piece).strip())}))


def mark(card: Card) -> str | None:
    """Return the id of the link whose create made the card."""
    return text(first(card.all(MARK))) or None


def uid(card: Card) -> str:
    """Return the card's UID."""
    return text(first(card.all("UID")))


def unreadable(card: Card) -> Broken | None:
    """Return why the card isn't a contact: groups and resources are cards too (RFC 6350 section 6.1.4)."""
    kinds = [text(line).lower() for name in ("KIND", "X-ADDRESSBOOKSERVER-KIND") for line in card.all(name)]
    other = [kind for kind in kinds if kind not in {"", "individual", "org"}]
    return Broken("it is a group or another kind of card, not a contact") if other else None


def first(lines: Iterable[Line]) -> Line | None:
    """Return the primary line that says something."""
    return next((line for line in ordered(lines) if line.value.strip(" ;")), None)


def ordered(lines: Iterable[Line]) -> list[Line]:
    """Return the lines by preference: PREF=1 to 100 (version 4), TYPE=pref (before), then as they stand."""
    return sorted(lines, key=preference)


def preference(line: Line) -> int:
    """Return how a line stands among its like: 1 is the most preferred, 101 has no preference."""
    if "pref" in line.parameter("TYPE"):
        return 1
    given = [int(value) for value in line.parameter("PREF") if value.isascii() and value.isdigit() and len(value) < 4]
    return min([101, *given])


def text(line: Line | None) -> str:
    """Return what a line that is one text says; nothing for none."""
    return unescape(line.value).strip() if line else ""


def reader(path: str) -> Callable[[Line], str | Address]:
    """Return what reads one line of a field with many values."""
    readers: dict[str, Callable[[Line], str | Address]] = {"email": email, "phone": phone, "address": address}
    return readers[path]


def _addresses(card: Card) -> Values:
    return tuple(dict.fromkeys(a for line in ordered(card.all("ADR")) if (a := address(line)) != Address()))


def _distinct(texts: Iterable[str]) -> Values:
    return tuple(dict.fromkeys(text for text in texts if text))


def _texts(value: str) -> Values:
    return (value,) if value else ()


def _without_scheme(text: str, scheme: str) -> str:
    return text[len(scheme) :].strip() if text[: len(scheme)].lower() == scheme else text
