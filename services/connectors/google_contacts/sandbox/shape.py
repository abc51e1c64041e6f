"""What a person in a request may look like: names of fields, kinds of values, singletons, masks."""

from collections.abc import Collection, Mapping
from typing import Any

from services.connectors.google_contacts.sandbox.refusal import ApiError, Json

# The properties of the discovery document (people v1, revision 20251117) that a client may send.
SHAPES: Mapping[str, frozenset[str]] = {
    "names": frozenset(
        {"familyName", "givenName", "middleName", "honorificPrefix", "honorificSuffix", "unstructuredName"}
        | {"displayName", "displayNameLastFirst", "phoneticFamilyName", "phoneticFullName", "phoneticGivenName"}
        | {"phoneticHonorificPrefix", "phoneticHonorificSuffix", "phoneticMiddleName"}
    ),
    "emailAddresses": frozenset({"value", "type", "formattedType", "displayName"}),
    "phoneNumbers": frozenset({"value", "type", "formattedType", "canonicalForm"}),
    "addresses": frozenset(
        {"streetAddress", "extendedAddress", "poBox", "city", "region", "postalCode", "country", "countryCode"}
        | {"type", "formattedType", "formattedValue"}
    ),
    "organizations": frozenset(
        {"name", "title", "department", "type", "formattedType", "domain", "location", "symbol", "current"}
        | {"costCenter", "jobDescription", "phoneticName", "startDate", "endDate", "fullTimeEquivalentMillipercent"}
    ),
    "biographies": frozenset({"value", "contentType"}),
    "birthdays": frozenset({"date", "text"}),
    "genders": frozenset({"value", "formattedValue", "addressMeAs"}),
    "userDefined": frozenset({"key", "value"}),
    "clientData": frozenset({"key", "value"}),
    "memberships": frozenset({"contactGroupMembership", "domainMembership"}),
    "nicknames": frozenset({"value", "type"}),
    "urls": frozenset({"value", "type", "formattedType"}),
    "externalIds": frozenset({"value", "type", "formattedType"}),
    "relations": frozenset({"person", "type", "formattedType"}),
}
SINGLETONS = ("biographies", "birthdays", "genders", "names")
READABLE = frozenset(SHAPES) | {"metadata", "photos", "locales", "events", "imClients", "sipAddresses"}
NESTED = ("contactGroupMembership", "domainMembership", "date", "startDate", "endDate")
BOOLEAN = ("current",)
NUMBER = ("fullTimeEquivalentMillipercent",)


def mask(text: str, parameter: str, allowed: Collection[str]) -> frozenset[str]:
    """Return a field mask's paths. Raises ApiError for a missing mask and for paths that aren't allowed."""
    paths = [path.strip() for path in text.split(",") if path.strip()]
    if not paths:
        raise ApiError(f"{parameter} mask is required. Please specify one or more valid paths.")
    if unknown := [path for path in paths if path not in allowed]:
        raise ApiError(f"Invalid {parameter} mask path: {unknown[0]}.")
    return frozenset(paths)


def read_mask(text: str, parameter: str = "personFields") -> frozenset[str]:
    """Return the mask of what an answer shall show."""
    return mask(text, parameter, READABLE)


def checked(person: Any) -> Json:
    """Return a person of a request. Raises ApiError for what the API doesn't know or take."""
    if not isinstance(person, dict):
        raise ApiError("Invalid JSON payload received: a person is an object.")
    for field, values in person.items():
        if field in {"resourceName", "etag", "metadata"}:
            continue
        if field not in SHAPES:
            raise _unknown(field, "person")
        if not isinstance(values, list):
            raise ApiError(f"Invalid value at 'person.{field}': a list is expected.")
        if field in SINGLETONS and len(values) > 1:
            raise ApiError(f"person.{field} is a singleton field: only one value is allowed.")
        for value in values:
            _check(field, value)
    return person


def _check(field: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise ApiError(f"Invalid value at 'person.{field}': an object is expected.")
    for key, part in value.items():
        if key == "metadata":
            continue
        if key not in SHAPES[field]:
            raise _unknown(key, f"person.{field}")
        kind: Any = dict if key in NESTED else bool if key in BOOLEAN else int if key in NUMBER else str
        if not isinstance(part, kind):
            raise ApiError(f"Invalid value at 'person.{field}.{key}'.")


def _unknown(name: str, at: str) -> ApiError:
    return ApiError(f"Invalid JSON payload received. Unknown name \"{name}\" at '{at}': Cannot find field.")
