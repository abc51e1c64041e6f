"""What the screen says of a request that passed a tap."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from services.demo.office import value
from services.demo.screen import Line
from services.demo.tap import Exchange

_HIDDEN = frozenset({"clientData"})
"""Google's field for our marks."""


def line(exchange: Exchange) -> Line | None:
    """The line about a write that reached a server, or about a webhook that was refused; None about anything else."""
    took = f"{(exchange.answered - exchange.arrived) * 1000:.0f} ms"
    if exchange.place == "hooks":
        refused = exchange.status >= 400
        return Line(exchange.at, "refused", "shop", "webhook", _refusal(exchange), took) if refused else None
    if not exchange.is_write:
        return None
    who, what = {"book": _to_book, "shop": _to_shop, "office": _to_office}[exchange.place](exchange)
    if exchange.status >= 300:
        return Line(exchange.at, "refused", exchange.place, who, f"{what} ({exchange.status})", took)
    return Line(exchange.at, "written", exchange.place, who, what, took)


def _refusal(exchange: Exchange) -> str:
    return str(_json(exchange.answer).get("error", f"status {exchange.status}"))


def _to_book(exchange: Exchange) -> tuple[str, str]:
    """Whom a write was about, and what it wrote."""
    lines = exchange.body.decode("utf-8", "replace").splitlines()
    email = next((each.rpartition(":")[2] for each in lines if each.upper().startswith("EMAIL")), "")
    return email, "a new card" if "if-none-match" in exchange.headers else "its card"


def _to_shop(exchange: Exchange) -> tuple[str, str]:
    form = parse_qs(exchange.body.decode("utf-8", "replace"), keep_blank_values=True)
    answer = _json(exchange.answer)
    fields = dict.fromkeys(key if key.startswith("metadata") else key.partition("[")[0] for key in form)
    cleared = {key for key, (value, *_) in form.items() if key.startswith("metadata") and not value}
    what = ", ".join(f"{each} taken off" if each in cleared else each for each in fields)
    created = exchange.path.endswith("/v1/customers")
    return str(answer.get("email") or answer.get("id") or ""), f"a new customer: {what}" if created else what


def _to_office(exchange: Exchange) -> tuple[str, str]:
    person = _json(exchange.answer)
    who = value(person, "emailAddresses") or str(person.get("resourceName", ""))
    path, query = urlsplit(exchange.path).path, parse_qs(urlsplit(exchange.path).query)
    if path.endswith(":createContact"):
        return who, f"a new contact: {_fields(_json(exchange.body))}"
    mask = ",".join(query.get("updatePersonFields", ())).split(",")
    return who, _fields(mask) if path.endswith(":updateContact") else path


def _fields(names: Any) -> str:
    return ", ".join(name for name in names if name not in _HIDDEN)


def _json(raw: bytes) -> Mapping[str, Any]:
    with contextlib.suppress(msgspec.DecodeError):
        return msgspec.json.decode(raw, type=dict[str, Any])
    return {}
