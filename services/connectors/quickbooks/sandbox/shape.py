"""What a customer in a request may look like: fields, kinds of values, lengths, characters.

https://developer.intuit.com/app/developer/qbo/docs/api/accounting/all-entities/customer; the codes of what is refused:
https://developer.intuit.com/app/developer/qbo/docs/develop/troubleshooting/error-codes
"""

from typing import Any

from services.connectors.quickbooks.sandbox.refusal import ApiError, Json

TEXTS = {
    "DisplayName": 500,
    "Title": 16,
    "GivenName": 100,
    "MiddleName": 100,
    "FamilyName": 100,
    "Suffix": 16,
    "CompanyName": 100,
    "PrintOnCheckName": 110,
    "Notes": 2000,
    "ResaleNum": 16,
    "PreferredDeliveryMethod": 16,
}
_PHONE = {"FreeFormNumber": 30}
_LINES = dict.fromkeys((f"Line{n}" for n in range(1, 6)), 500)
_PLACE = _LINES | dict.fromkeys(("City", "CountrySubDivisionCode", "Country"), 255) | {"PostalCode": 30}
OBJECTS: dict[str, dict[str, int]] = {
    "PrimaryEmailAddr": {"Address": 100},
    "PrimaryPhone": _PHONE,
    "Mobile": _PHONE,
    "AlternatePhone": _PHONE,
    "Fax": _PHONE,
    "WebAddr": {"URI": 1000},
    "BillAddr": {**_PLACE, "Id": 20, "Lat": 20, "Long": 20},
    "ShipAddr": {**_PLACE, "Id": 20, "Lat": 20, "Long": 20},
}
FLAGS = ("Active", "Taxable", "Job", "BillWithParent")
NAMES = ("Title", "GivenName", "MiddleName", "FamilyName", "Suffix")
_FRAME = ("Id", "SyncToken", "sparse", "domain")


def checked(given: Any) -> Json:
    """Return a customer of a request. Raises ApiError for what the API doesn't know or take."""
    if not isinstance(given, dict):
        raise ApiError("2010", "Request has invalid or unsupported property")
    for key, value in given.items():
        if key in TEXTS:
            _text(key, value, TEXTS[key])
        elif key in OBJECTS:
            _object(key, value)
        elif key in FLAGS:
            if not isinstance(value, bool):
                raise ApiError("2110", f"{key} is a boolean", element=f"Customer.{key}")
        elif key not in _FRAME:
            raise ApiError("2010", f"Property Name:{key} specified is unsupported or invalid", element=key)
    for key in (*NAMES, "DisplayName", "PrintOnCheckName"):
        if set(given.get(key) or "") & set(":\t\n"):
            raise ApiError("2040", f"{key} has characters that names can't have", element=f"Customer.{key}")
    email = (given.get("PrimaryEmailAddr") or {}).get("Address")
    if email and not all("@" in each and "." in each for each in email.split(",")):
        raise ApiError(
            "2210", "Email Address does not conform to the syntax rules", element="Customer.PrimaryEmailAddr"
        )
    return given


def _object(key: str, value: Any) -> None:
    if not isinstance(value, dict):
        raise ApiError("2010", f"{key} is an object", element=f"Customer.{key}")
    for part, text in value.items():
        if part not in OBJECTS[key]:
            raise ApiError("2010", f"Property Name:{part} specified is unsupported or invalid", element=part)
        _text(f"{key}.{part}", text, OBJECTS[key][part])


def _text(key: str, value: Any, limit: int) -> None:
    if not isinstance(value, str):
        raise ApiError("2010", f"{key} is a text", element=f"Customer.{key}")
    if len(value) > limit:
        raise ApiError("2050", f"String length is not supported: max {limit}", element=f"Customer.{key}")
