"""Error answers of the API: what they say, without what they quote."""

import re
from collections.abc import Mapping

import msgspec

from services.connectors.quickbooks.manifest import MANIFEST
from services.contracts.app import Trouble

NOT_SENT = "not_sent"
UNANSWERED = "unanswered"
STALE = "5010"
TAKEN = "6240"
NOT_FOUND = "610"

_MINUTE = 60.0
"""Seconds to wait where a throttle doesn't say (limits-and-throttles, as in the manifest)."""
_CODE = re.compile(r"[0-9]{1,8}\Z", re.ASCII)
_ELEMENTS = {
    **dict.fromkeys(("title", "givenname", "middlename", "familyname", "suffix", "displayname"), "name"),
    **{field.path.lower(): field.path for field in MANIFEST.fields},
    "address": "PrimaryEmailAddr",
    "uri": "WebAddr",
}
"""An error's element, in lower case and without what leads to it -> the field."""
_TOLD: Mapping[int | str, str] = {
    401: "It doesn't take the access token, also not a new one: authorise the account again.",
    403: "The user who allowed this may no longer use the company: authorise the account again.",
    429: "The company's requests of this minute are used up.",
    "3001": "The company's requests of this minute are used up.",
    "3100": "The app isn't allowed to use this company: check realm_id, or authorise the account again.",
    "3200": "It doesn't take the access token, also not a new one: authorise the account again.",
    "120": "The user who allowed this may no longer use the company: authorise the account again.",
    "6190": "The company's QuickBooks subscription has ended, or is unpaid: nothing can be written.",
    STALE: "The customer has changed since it was read.",
    NOT_FOUND: "There is no such customer, or it is inactive.",
    TAKEN: "Another customer, vendor or employee is called so.",
    "not_quickbooks": "It says so of the address asked, not of a customer: check the setting api_base.",
}


class _Error(msgspec.Struct, frozen=True):
    """One error. The API writes its keys with capitals, the gateway before it without."""

    code: str | int | None = None
    element: str | None = None


class _Fault(msgspec.Struct, frozen=True):
    capital: tuple[_Error, ...] = msgspec.field(default=(), name="Error")
    small: tuple[_Error, ...] = msgspec.field(default=(), name="error")


class _Body(msgspec.Struct, frozen=True):
    capital: _Fault | None = msgspec.field(default=None, name="Fault")
    small: _Fault | None = msgspec.field(default=None, name="fault")


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error answer. Its messages aren't kept, since they quote values."""

    status: int
    codes: tuple[str, ...] = ()
    field: str | None = None
    """The app path of the field at fault, where the answer names one."""
    retry_after: float | None = None

    @property
    def key(self) -> int | str:
        """What the verdict table is asked by."""
        if self.status == 401 or (self.status == 429 and not self.codes):
            return self.status
        known = next((code for code in self.codes if code in MANIFEST.verdicts or code == TAKEN), None)
        if known is not None:
            return known
        return "not_quickbooks" if self.status in {404, 410} else self.status

    def trouble(self) -> Trouble:
        """The answer as the runner wants it."""
        said = f" (code {', '.join(self.codes)})" if self.codes else ""
        told = _TOLD.get(self.key, "")
        detail = f"QuickBooks answered {self.status}{said}. {told}".strip()
        after = self.retry_after or (_MINUTE if self.key in {429, "3001"} else None)
        return Trouble(key=self.key, detail=detail, retry_after=after, field=self.field)


def problem(status: int, headers: Mapping[str, str], body: bytes) -> Problem:
    """Read an answer that isn't a success; a body that isn't the API's leaves only the status."""
    errors = faults(body)
    codes = [str(error.code).lstrip("0") for error in errors if error.code is not None]
    elements = [(error.element or "").rpartition(".")[2].lower() for error in errors]
    return Problem(
        status=status,
        codes=tuple(code for code in codes if _CODE.match(code)),
        field=next((path for each in elements if (path := _ELEMENTS.get(each))), None) if status == 400 else None,
        retry_after=seconds(headers.get("retry-after")),
    )


def faults(body: bytes) -> tuple[_Error, ...]:
    """Return the errors that an answer tells of, whatever its status."""
    try:
        read = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    return tuple(error for fault in (read.capital, read.small) if fault for error in (*fault.capital, *fault.small))


def seconds(header: str | None) -> float | None:
    """Retry-After in seconds; a date isn't used here."""
    given = (header or "").strip()
    return float(given) if given.isascii() and given.isdigit() and len(given) < 7 else None


def unreadable() -> Trouble:
    """A success that isn't what was asked for: what happened isn't known."""
    return Trouble(key=UNANSWERED, detail="QuickBooks' answer can't be read. Check the setting api_base.")


def before_write(trouble: Trouble) -> Trouble:
    """Return what stopped a reading before a write as what it is for the write: nothing of it was sent."""
    lost = trouble.key in {UNANSWERED, "not_quickbooks"} or (isinstance(trouble.key, int) and trouble.key >= 500)
    return msgspec.structs.replace(trouble, key=NOT_SENT) if lost else trouble
