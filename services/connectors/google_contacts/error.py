"""Google's error answers: what they say, without what they quote."""

import re
from collections.abc import Mapping

import msgspec

from services.connectors.google_contacts.manifest import MANIFEST
from services.contracts.app import Trouble

EXPIRED = "EXPIRED_SYNC_TOKEN"
STALE = "failedPrecondition"
RATE_LIMIT = "rate_limit"
NOT_SENT = "not_sent"
UNANSWERED = "unanswered"

_RATE_REASONS = {"RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "rateLimitExceeded", "userRateLimitExceeded"}
_WORD = re.compile(r"[A-Za-z_]{1,64}\Z")
# How the API's own field names stand in its messages: person.emailAddresses, person.email_addresses[0].value.
_FIELDS: Mapping[str, str] = {
    "names": "name",
    "emailaddresses": "emailAddresses",
    "phonenumbers": "phoneNumbers",
    "addresses": "addresses",
    "biographies": "note",
}
_NAMED = re.compile(r"person\.([A-Za-z_]+)")


class _Detail(msgspec.Struct, frozen=True):
    reason: str | None = None


class _Error(msgspec.Struct, frozen=True):
    status: str | None = None
    message: str | None = None
    details: tuple[_Detail, ...] = ()
    errors: tuple[_Detail, ...] = ()


class _Body(msgspec.Struct, frozen=True):
    error: _Error


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error answer in the shape of google.rpc.Status; its message isn't kept, since it may quote values."""

    code: int
    status: str = ""
    reasons: frozenset[str] = frozenset()
    field: str | None = None
    """The app path of the field at fault, where the message names one."""
    token: bool = False
    """The message speaks of a sync or page token."""
    retry_after: float | None = None

    @property
    def key(self) -> int | str:
        """What the verdict table is asked by."""
        if EXPIRED in self.reasons:
            return EXPIRED
        if self.code == 400 and (STALE in self.reasons or self.status == "FAILED_PRECONDITION"):
            return STALE
        if self.code == 403 and (self.reasons & _RATE_REASONS or self.status == "RESOURCE_EXHAUSTED"):
            return RATE_LIMIT
        if self.code in {404, 410} and self.status != "NOT_FOUND":
            return "not_google"
        return self.code

    @property
    def lost_token(self) -> bool:
        """The cursor isn't known any more. Google says so with 400; other APIs of its with 410."""
        return self.key == EXPIRED or self.code == 410 or (self.code == 400 and self.token)

    def trouble(self) -> Trouble:
        """The answer as the runner wants it."""
        said = ", ".join(word for word in (self.status, *sorted(self.reasons)) if _WORD.match(word))
        detail = f"Google answered {self.code}{f' ({said})' if said else ''}."
        told = {
            401: "It doesn't take the access token, also not a new one: authorise the account again.",
            403: "The account or the project lacks a permission: the People API and the contacts scope are needed.",
            404: "There is no such contact.",
            429: "A quota of this minute is used up.",
            RATE_LIMIT: "A quota of this minute is used up.",
            STALE: "The contact has changed since it was read.",
            "not_google": "It says so of the address asked, not of a contact: check the setting api_base.",
        }.get(self.key, "")
        return Trouble(key=self.key, detail=f"{detail} {told}".strip(), retry_after=self.retry_after, field=self.field)


def problem(status: int, headers: Mapping[str, str], body: bytes) -> Problem:
    """Read an answer that isn't a success; a body that isn't Google's leaves only the status."""
    try:
        error = msgspec.json.decode(body, type=_Body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = _Error()
    message = error.message or ""
    named = _NAMED.search(message)
    path = _FIELDS.get(named[1].replace("_", "").lower()) if named and status == 400 else None
    return Problem(
        code=status,
        status=error.status or "",
        reasons=frozenset(each.reason for each in (*error.details, *error.errors) if each.reason),
        field=path if path and MANIFEST.field(path) else None,
        token=bool(re.search(r"(sync|page)[ _]?token", message, re.IGNORECASE)),
        retry_after=seconds(headers.get("retry-after")),
    )


def seconds(header: str | None) -> float | None:
    """Retry-After in seconds; a date isn't used here."""
    given = (header or "").strip()
    return float(given) if given.isascii() and given.isdigit() and len(given) < 7 else None


def unreadable() -> Trouble:
    """A success that isn't what was asked for: what happened isn't known."""
    return Trouble(key=UNANSWERED, detail="Google's answer can't be read. Check the setting api_base.")


def before_write(trouble: Trouble) -> Trouble:
    """Return what stopped a reading before a write as what it is for the write: nothing of it was sent."""
    lost = trouble.key == UNANSWERED or (isinstance(trouble.key, int) and trouble.key >= 500)
    return msgspec.structs.replace(trouble, key=NOT_SENT) if lost else trouble
