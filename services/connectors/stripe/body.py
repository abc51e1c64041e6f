"""Fields and tags as the parameters of a request, and what can be refused before it is sent."""

from typing import Any

import msgspec

from services.connectors.stripe.customer import PARTS
from services.connectors.stripe.manifest import (
    MANIFEST,
    MARK,
    METADATA,
    METADATA_KEY_LENGTH,
    METADATA_KEYS,
    METADATA_VALUE_LENGTH,
    TAGS,
)
from services.contracts.commands import Create, Tag, Untag, Update, Write
from services.contracts.contact import Address, Fields, Value, Values
from services.contracts.receipts import Refused

CLEAR = ""
"""What unsets a field or a metadata key: https://docs.stripe.com/api/metadata"""


class Objection(msgspec.Struct, frozen=True):
    """Why a field can't be sent."""

    path: str
    code: str
    reason: str


def body(command: Write) -> dict[str, Any] | Refused:
    """Return the parameters of a write, or the refusal that Stripe would give, without asking it."""
    match command:
        case Create():
            objections = [found for path, values in command.fields.items() if (found := objection(path, values))]
            return refused(objections) or _created(command)
        case Update():
            objections = [found for path, values in command.fields.items() if (found := objection(path, values))]
            return refused(objections) or _params(command.fields)
        case Tag() | Untag():
            if command.tag not in TAGS:
                reason = f"In Stripe contactsync keeps the tags {' and '.join(TAGS)} only, not {command.tag}."
                return Refused(reason=reason, code="tag_unknown")
            return {"metadata": {command.tag: command.date if isinstance(command, Tag) else CLEAR}}


def refused(objections: list[Objection]) -> Refused | None:
    """One refusal for all objections, None without any."""
    if not objections:
        return None
    return Refused(
        reason=" ".join(each.reason for each in objections),
        code=objections[0].code,
        fields=tuple(each.path for each in objections),
    )


def _created(command: Create) -> dict[str, Any] | Refused:
    params = _params({path: values for path, values in command.fields.items() if values})
    metadata = params.setdefault("metadata", {})
    metadata[MARK] = command.aim.link
    if len(metadata) > METADATA_KEYS:
        reason = f"Stripe keeps {METADATA_KEYS} metadata keys, one of them for contactsync; these are too many."
        paths = tuple(path for path in command.fields if path.startswith(METADATA))
        return Refused(reason=reason, code="metadata_keys", fields=paths[METADATA_KEYS - 1 :])
    return params


def _params(fields: Fields) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for path, values in fields.items():
        value = _sent(values[0]) if values else CLEAR
        if path.startswith(METADATA):
            params.setdefault("metadata", {})[path.removeprefix(METADATA)] = value
        else:
            params[path] = value
    return params


def _sent(value: Value) -> str | dict[str, str]:
    """An address is sent with all of its parts: whether Stripe merges or replaces it is then the same."""
    if isinstance(value, Address):
        parts = {part: getattr(value, part) for part in PARTS}
        return parts if any(parts.values()) else CLEAR
    return value if isinstance(value, str) else ""


def objection(path: str, values: Values) -> Objection | None:
    """Why these values can't be sent for this path, or None."""
    limit = METADATA_VALUE_LENGTH
    wanted: type[str | Address] = str
    if path.startswith(METADATA):
        found = _key_objection(path)
        if found is not None:
            return found
    else:
        field = MANIFEST.field(path)
        if field is None:
            return Objection(path, "field_unknown", f"Stripe has no field {path}.")
        limit = field.max_length or 0
        wanted = Address if field.type == "address" else str
    if len(values) > 1:
        return Objection(path, "too_many_values", f"Stripe keeps one value in {path}, not {len(values)}.")
    if not values:
        return None
    value = values[0]
    if not isinstance(value, wanted):
        return Objection(path, "wrong_type", f"Stripe's {path} can't hold a value of this kind.")
    texts = [value] if isinstance(value, str) else [getattr(value, part) for part in PARTS]
    if any(not _encodable(each) for each in texts):
        return Objection(path, "encoding", f"The value for {path} holds characters that can't be sent.")
    if limit and len(texts[0]) > limit:
        reason = f"Stripe takes at most {limit} characters in {path}, this value has {len(texts[0])}."
        return Objection(path, "too_long", reason)
    return None


def _key_objection(path: str) -> Objection | None:
    key = path.removeprefix(METADATA)
    if key == MARK or key in TAGS:
        return Objection(path, "reserved", f"The metadata key {key} is contactsync's own.")
    if not key or len(key) > METADATA_KEY_LENGTH or "[" in key or "]" in key or not _encodable(key):
        reason = f"Stripe's metadata keys have 1 to {METADATA_KEY_LENGTH} characters and no square brackets."
        return Objection(path, "metadata_key", reason)
    return None


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
