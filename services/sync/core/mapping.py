"""Mapping lines: which fields of a pair correspond, how their values compare and convert."""

import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, TypeAlias, assert_never

import msgspec
import phonenumbers

from services.contracts.app import Ability, Field, FieldType, Manifest
from services.contracts.connection import Connection, Deletions, MappingLine
from services.contracts.contact import SIDES, Address, Contact, PersonName, Side, Value, Values
from services.sync.core.identity import normal_address
from services.sync.core.names import split, tidy, told
from services.sync.core.state import Base, Normal

Flow: TypeAlias = Literal["both", "left", "right"]
"""Where a line's values flow: both ways, or only into that side."""

_CONVERTIBLE: frozenset[tuple[FieldType, FieldType]] = frozenset(
    {("text", "name"), ("name", "text"), ("text", "phone"), ("phone", "text"), ("email", "text")}
)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One pair of fields."""

    id: str
    left: Field
    right: Field
    flow: Flow

    def field(self, side: Side) -> Field:
        """Return that side's field."""
        return self.left if side == "left" else self.right

    def flows_into(self, side: Side) -> bool:
        """Whether this line may write that side."""
        return self.flow in ("both", side)

    @property
    def whole(self) -> bool:
        """Whether all values of a multi-valued field take part; else only the primary one."""
        return self.left.multi and self.right.multi

    @property
    def merges(self) -> bool:
        """Whether additions and removals of both sides come together, element by element (D5).

        One way the source's elements count. A name in parts and one in a text have no form in common.
        """
        types = {self.left.type, self.right.type}
        return self.whole and self.flow == "both" and (len(types) == 1 or types == {"text", "phone"})


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A connection in force, with what both apps declare."""

    connection: Connection
    version: int
    paused: bool
    removed: bool
    """No longer in the file: receipts are still folded, nothing new is decided."""
    left: Manifest
    right: Manifest
    lines: tuple[Line, ...]

    def manifest(self, side: Side) -> Manifest:
        """Return that side's manifest."""
        return self.left if side == "left" else self.right

    def account(self, side: Side) -> str:
        """Return that side's account."""
        return self.connection.left if side == "left" else self.connection.right

    def side_of(self, account: str) -> Side:
        """Return the side on which the account stands."""
        return "left" if account == self.connection.left else "right"

    def tags_deletions_on(self, side: Side) -> bool:
        """Whether a deletion on the opposite side tags the contact on that side."""
        return _goes_into(self.connection.options.sync_deletions, side)

    def tags_unsubscribes_on(self, side: Side) -> bool:
        """Whether an unsubscribe on the opposite side tags the contact on that side."""
        opposite = self.manifest("left" if side == "right" else "right")
        able = Ability.TAG in self.manifest(side).abilities and Ability.DETECT_UNSUBSCRIBE in opposite.abilities
        return able and _goes_into(self.connection.options.sync_unsubscribes, side)


def _goes_into(wanted: Deletions, side: Side) -> bool:
    return wanted == "both" or ((wanted == "left_to_right") == (side == "right") and wanted != "none")


def compile_config(
    connection: Connection, version: int, manifests: Mapping[str, Manifest], *, paused: bool, removed: bool = False
) -> Config:
    """Return the connection in force. `manifests` holds the manifest of each of its two accounts, by account."""
    left, right = manifests[connection.left], manifests[connection.right]
    off = {line.default for line in connection.mappings if line.default and not line.enabled}
    lines = tuple(
        Line(id=a.canonical or "", left=a, right=b, flow=flow)
        for a in left.fields
        for b in right.fields
        if a.canonical is not None
        and a.canonical == b.canonical
        and a.canonical not in off
        and (flow := _flow(connection, a, b)) is not None
    )
    own = tuple(line for each in connection.mappings if (line := _own(connection, left, right, each)) is not None)
    return Config(
        connection=connection,
        version=version,
        paused=paused,
        removed=removed,
        left=left,
        right=right,
        lines=lines + own,
    )


def _own(connection: Connection, left: Manifest, right: Manifest, line: MappingLine) -> Line | None:
    """Return a line that a person made, or None if it is off or can't flow (the file's check has said so)."""
    a, b = left.field(line.left), right.field(line.right)
    if line.default or not line.enabled or a is None or b is None:
        return None
    into: frozenset[Side] = frozenset(
        side
        for side in SIDES
        if line.direction in (None, "two_way") or (line.direction == "left_to_right") == (side == "right")
    )
    flow = _flow(connection, a, b, into)
    return None if flow is None else Line(id=f"{a.path}={b.path}", left=a, right=b, flow=flow)


def _flow(connection: Connection, left: Field, right: Field, into: frozenset[Side] = frozenset(SIDES)) -> Flow | None:
    into_left = "left" in into and connection.writes("left") and left.writable and convertible(right.type, left.type)
    into_right = (
        "right" in into and connection.writes("right") and right.writable and convertible(left.type, right.type)
    )
    if into_left and into_right:
        return "both"
    return "left" if into_left else "right" if into_right else None


def convertible(source: FieldType, target: FieldType) -> bool:
    """Whether a value of one type can become one of the other."""
    return source == target or (source, target) in _CONVERTIBLE


def can_tag(config: Config, side: Side) -> bool:
    """Whether deletions on the opposite side can be shown as a tag on that side."""
    opposite = config.manifest("left" if side == "right" else "right")
    return Ability.TAG in config.manifest(side).abilities and Ability.DETECT_DELETION in opposite.abilities


def normal(value: Value, type_: FieldType) -> Normal:
    """Return one value in the form in which it is compared; normalizing that again changes nothing."""
    match value:
        case str():
            return normal_text(value, type_)
        case PersonName():
            parts = (value.prefix, value.given, value.middle, value.family, value.suffix)
            tidied = tuple(tidy(unicodedata.normalize("NFC", part)) for part in parts)
            return "\x1f".join(tidied) if any(tidied) else tidy(unicodedata.normalize("NFC", value.full))
        case Address():
            parts = (value.line1, value.line2, value.city, value.state, value.postal_code)
            tidied = (
                *(tidy(unicodedata.normalize("NFC", part)) for part in parts),
                tidy(value.country).upper(),
            )
            return "\x1f".join(tidied) if any(tidied) else ""
        case _:
            assert_never(value)


def normal_text(text: str, type_: FieldType) -> Normal:
    """Return a text in the form in which it is compared."""
    if type_ == "email":
        return normal_address(text) or tidy(text).casefold()
    if type_ == "phone":
        return normal_phone(text)
    composed = text if text.isascii() else unicodedata.normalize("NFC", text)
    if "\n" not in composed and "\r" not in composed:  # by far the most
        return tidy(composed)
    lines = composed.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(tidy(line) for line in lines).strip("\n")


@lru_cache(maxsize=2048)
def normal_phone(text: str) -> Normal:
    """Return a phone number as it is dialled: E.164 where it has a country code, else its digits."""
    digits = "".join(c for c in unicodedata.normalize("NFKC", text) if c.isdigit() or c in "+*#,;")
    number = _parsed(text) or _parsed(digits)
    if number is None:
        return digits or tidy(text)
    dialled = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return f"{dialled};{number.extension}" if number.extension else dialled


def _parsed(text: str) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return None


def view(values: Values, line: Line) -> Values:
    """Return the values of a field that take part in the line: all, or the primary one."""
    return values if line.whole else values[:1]


SEPARATOR = "\x1e"
"""Between the elements of a field with many; no value in comparable form has it."""


def normal_view(values: Values, line: Line, side: Side) -> Normal:
    """Return what takes part in the line in comparable form; the order of many values doesn't count."""
    type_ = line.field(side).type
    texts = [text for value in view(values, line) if (text := normal(value, type_))]
    return SEPARATOR.join(sorted(set(texts))) if line.whole else (texts[0] if texts else "")


def element(text: Normal, line: Line) -> Normal:
    """Return an element, normal on its side, in the form in which both sides' elements compare."""
    return text if line.left.type == line.right.type else normal_text(text, "phone")


def elements(values: Values, line: Line, side: Side) -> dict[Normal, Value]:
    """Return a field's elements in their order, each with that side's own (first) spelling."""
    found: dict[Normal, Value] = {}
    for value in values:
        if text := normal(value, line.field(side).type):
            found.setdefault(element(text, line), value)
    return found


def observed(contact: Contact, line: Line, side: Side) -> Values:
    """Return the field's values in an observation, without those that say nothing."""
    return looked_at(contact, line.field(side), whole=False)[0]


def looked_at(contact: Contact, field: Field, *, whole: bool) -> tuple[Values, Normal]:
    """Return what `observed` returns, and its `normal_view`: each value brought into comparable form once.

    `whole`: as the line's.
    """
    values = contact.fields.get(field.path, ())
    if not values:
        return (), ""
    type_ = field.type
    if len(values) == 1:
        (value,) = values
        text = normal_text(value, type_) if isinstance(value, str) else normal(value, type_)
        return (values, text) if text else ((), "")
    texts = [normal(value, type_) for value in values]
    told = values if all(texts) else tuple(value for value, text in zip(values, texts, strict=True) if text)
    shown = [text for text in texts if text]
    if whole:
        return told, SEPARATOR.join(sorted(set(shown)))
    return told, shown[0] if shown else ""


def convert(
    value: Value, source: FieldType, target: FieldType, present: Value | None, before: Normal | None = None
) -> Value:
    """Return the value as the target's type. `present` is what the target holds: it keeps what didn't change.

    `before` is what the source said when both last agreed, "" if they never did, None if that doesn't matter.
    """
    match value:
        case str() if target == "name":
            return split(value, present if isinstance(present, PersonName) else None, before)
        case PersonName() if target != "name":
            return told(value, present if isinstance(present, str) else "")
        case PersonName() if isinstance(present, PersonName) and normal(value, source) == normal(present, target):
            return present
        case _:
            return value


def wanted_values(line: Line, target: Side, source: Values, present: Values, before: Normal | None = None) -> Values:
    """Return all values the target's field shall have so that it says what `source` says.

    Into a multi-valued field a single value replaces the primary one and keeps the others; clearing it removes
    just that element.
    """
    from_type = line.field("left" if target == "right" else "right").type
    to_type = line.field(target).type
    shown = view(source, line)
    if line.whole:
        return _matched(tuple(convert(value, from_type, to_type, None) for value in shown), present, to_type)
    if not shown:
        return present[1:]
    value = convert(shown[0], from_type, to_type, present[0] if present else None, before)
    if not normal(value, to_type):
        return present[1:]
    same = normal(value, to_type)
    return (value, *(kept for kept in present[1:] if normal(kept, to_type) != same))


def _matched(wanted: Values, present: Values, type_: FieldType) -> Values:
    """Keep the target's own spelling of the values it has already."""
    own = {normal(value, type_): value for value in reversed(present)}
    return tuple(own.get(normal(value, type_), value) for value in wanted)


def agree(line: Line, left: Values, right: Values, base: Base | None) -> bool:
    """Whether both sides say the same after conversion, in a direction in which the line converts."""
    if line.merges:
        return elements(left, line, "left").keys() == elements(right, line, "right").keys()
    # A text against a name is compared as a name: its parts know more forms of the text than the other way round.
    parts_left = line.left.type == "name" and line.right.type != "name"
    target: Side = "right" if convertible(line.left.type, line.right.type) and not parts_left else "left"
    source, present = (left, right) if target == "right" else (right, left)
    before = base.half("left" if target == "right" else "right") if base else ""
    wanted = wanted_values(line, target, source, present, before)
    return normal_view(wanted, line, target) == normal_view(present, line, target)
