"""Stripe's error answers: what they say, without what they quote."""

import re

import httpx2
import msgspec

from services.connectors.stripe.manifest import MANIFEST, MARK, METADATA
from services.contracts.app import Trouble
from services.contracts.contact import Order

_WORD = re.compile(r"(?!sk_|rk_)[a-z0-9_]{1,64}\Z")
_REQUEST = re.compile(r"req_[A-Za-z0-9]{1,60}\Z")
_OTHER_MODE = re.compile(r"similar object exists in \w+ mode")


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An error as Stripe answered it. Its message isn't kept: it quotes values, and sometimes the key.

    Shape: https://docs.stripe.com/api/errors
    """

    status: int
    order: Order
    code: str = ""
    kind: str = ""
    param: str = ""
    missing: bool = False
    """The object that the path names isn't there."""
    other_mode: bool = False
    """The object is there, but in the mode (live or test) that the key isn't for."""
    replayed: bool = False
    request: str = ""
    retry_after: float | None = None

    @property
    def path(self) -> str | None:
        """The app path of the field at fault, if it is one of ours; `metadata.` for metadata as a whole."""
        head, _, rest = self.param.partition("[")
        if head == "metadata":
            return METADATA + rest.removesuffix("]")
        return head if MANIFEST.field(head) else None

    def trouble(self) -> Trouble:
        """The answer as the runner wants it."""
        said = ", ".join(word for word in (self.code or self.kind, self.request) if word)
        detail = f"Stripe answered {self.status}{f' ({said})' if said else ''}."
        path = self.path
        if self.other_mode:
            detail += " The customer is in the other mode: the key and the data don't belong together."
        elif self.key == "not_stripe":
            detail += " It says so of the address asked, not of a customer: check the setting api_base."
        elif self.status == 401:
            detail += " The API key is wrong, expired or revoked: give the account a valid one."
        elif self.status == 403:
            detail += " The API key lacks a permission: customers need write, events need read."
        elif self.key == "replayed_failure":
            detail += " It repeats an earlier failure: what became of the write has to be looked up."
        return Trouble(
            key=self.key,
            detail=detail,
            retry_after=self.retry_after,
            field=path if path not in (METADATA, METADATA + MARK) else None,
        )

    @property
    def key(self) -> int | str:
        """What the verdict table is asked by: a code that it knows, else the status."""
        if self.other_mode:
            return "wrong_mode"
        if self.replayed and self.status >= 500:
            return "replayed_failure"
        if self.status in (404, 410) and not self.missing:
            return "not_stripe"
        return next((word for word in (self.code, self.kind) if word in MANIFEST.verdicts), self.status)


class _Error(msgspec.Struct, frozen=True):
    type: str | None = None
    code: str | None = None
    param: str | None = None
    message: str | None = None


class _Body(msgspec.Struct, frozen=True):
    error: _Error


def read_error(response: httpx2.Response, observed: Order) -> ErrorAnswer:
    """Read an answer that isn't a success; a body that isn't Stripe's leaves only the status."""
    try:
        error = msgspec.json.decode(response.content, type=_Body).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = _Error()
    message = error.message or ""
    other_mode = bool(_OTHER_MODE.search(message))
    return ErrorAnswer(
        status=response.status_code,
        order=observed,
        code=_word(error.code),
        kind=_word(error.type),
        param=error.param or "",
        missing=response.status_code == 404 and not other_mode and _is_missing(error),
        other_mode=other_mode,
        replayed=response.headers.get("idempotent-replayed") == "true",
        request=_matching(_REQUEST, response.headers.get("request-id")),
        retry_after=_seconds(response.headers.get("retry-after")),
    )


def unreadable() -> Trouble:
    """A success that isn't what was asked for: what happened isn't known."""
    return Trouble(key="unanswered", detail="Stripe's answer can't be read. Check the setting api_base.")


def _is_missing(error: _Error) -> bool:
    """Whether a 404 speaks of an object: one that speaks of an unknown URL must not look like a deletion.

    Stripe's own carries a code, localstripe's only this message.
    """
    return error.code == "resource_missing" or (
        error.type == "invalid_request_error" and error.code is None and error.message == "Not Found"
    )


def _word(value: str | None) -> str:
    return _matching(_WORD, value)


def _matching(pattern: re.Pattern[str], value: str | None) -> str:
    return value if value and pattern.match(value) else ""


def _seconds(header: str | None) -> float | None:
    """Retry-After in seconds; its other form, a date, isn't used by Stripe."""
    if header is None or not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", header.strip()):
        return None
    return float(header)
