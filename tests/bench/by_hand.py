"""The decision of B4 as somebody would write it for one pair of accounts, in plain Python: no rules file, no types.

It knows its ten conditions, its twenty-five pairs of fields and both apps' forms of a value. It does what a decision
has to: takes the observation in if it is newer, asks the conditions of both sides, compares every field in comparable
form with what both last agreed on, converts what changed, and puts down the write, what it waits for, and why.
"""

from __future__ import annotations

import functools
import unicodedata
from datetime import datetime
from typing import Any

import phonenumbers

CUSTOM = 20
"""Pairs of custom fields, beside name, e-mail, phone, address and note."""
_LIMIT = datetime(2027, 1, 1)  # noqa: DTZ001 - the field holds days without a zone
_ADDRESS = ("line1", "line2", "city", "state", "postal_code", "country")


@functools.lru_cache(65536)
def phone(text: str) -> str:
    """The number as it is dialled."""
    return phonenumbers.format_number(phonenumbers.parse(text, None), phonenumbers.PhoneNumberFormat.E164)


def tidy(text: str) -> str:
    """A text as it is compared."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def address(parts: dict[str, str]) -> str:
    """An address as it is compared."""
    return "\x1f".join(tidy(parts.get(part, "")) for part in _ADDRESS)


def shop_form(customer: dict[str, Any]) -> dict[str, str]:
    """Every mapped field of the customer as it is compared."""
    form = {
        "name": tidy(customer["name"]),
        "email": customer["email"].strip().casefold(),
        "phone": phone(customer["phone"]),
        "address": address(customer["address"]),
        "note": tidy(customer["description"]),
    }
    metadata = customer["metadata"]
    for at in range(CUSTOM):
        form[f"c{at}"] = tidy(metadata[f"k{at}"])
    return form


def book_form(card: dict[str, Any]) -> dict[str, str]:
    """Every mapped field of the card as it is compared."""
    form = {
        "name": "\x1f".join((tidy(card["given"]), tidy(card["family"]))),
        "email": card["email"].strip().casefold(),
        "phone": phone(card["tel"]),
        "address": address(card["adr"]),
        "note": tidy(card["note"]),
    }
    custom = card["custom"]
    for at in range(CUSTOM):
        form[f"c{at}"] = tidy(custom[f"k{at}"])
    return form


def takes_part(customer: dict[str, Any]) -> bool:
    """The ten conditions."""
    metadata = customer["metadata"]
    return (
        tidy(metadata["k0"]).casefold() == "v0"
        and tidy(metadata["k1"]).casefold() in ("v1", "w1", "x1")
        and "v2" in tidy(metadata["k2"]).casefold()
        and tidy(metadata["k3"]).casefold().startswith("v")
        and tidy(metadata["k4"]).casefold().endswith("4")
        and tidy(metadata["k5"]).casefold() != "nothing"
        and bool(tidy(metadata["k6"]))
        and float(metadata["k7"]) > 3
        and datetime.fromisoformat(metadata["k8"]) < _LIMIT
        and customer["email"].strip().casefold().endswith("@example.com")
    )


def converted(key: str, customer: dict[str, Any]) -> Any:
    """A field of the customer as the book takes it."""
    match key:
        case "name":
            given, _, family = customer["name"].rpartition(" ")
            return {"given": given, "family": family}
        case "email":
            return [customer["email"]]
        case "phone":
            return [customer["phone"]]
        case "address":
            return [dict(customer["address"])]
        case "note":
            return customer["description"]
        case _:
            return customer["metadata"]["k" + key[1:]]


def returned(key: str, card: dict[str, Any]) -> Any:
    """A field of the card as the shop takes it."""
    match key:
        case "name":
            return f"{card['given']} {card['family']}"
        case "email":
            return card["email"]
        case "phone":
            return card["tel"]
        case "address":
            return dict(card["adr"])
        case "note":
            return card["note"]
        case _:
            return card["custom"]["k" + key[1:]]


def decide(link: dict[str, Any], customer: dict[str, Any], at: float, now: float) -> dict[str, Any]:
    """Take the customer in as it was `at`; return the link's new state, the writes, and what was decided."""
    if at <= link["left_at"]:
        return {"link": link, "writes": [], "why": "older than what is known"}
    card = link["right"]
    link = {**link, "left": customer, "left_at": at}
    if not takes_part(customer):
        return {"link": {**link, "status": "outside"}, "writes": [], "why": "the conditions don't hold"}
    left, right, base = shop_form(customer), book_form(card), dict(link["base"])
    fields: dict[str, dict[str, Any]] = {"left": {}, "right": {}}
    lines: dict[str, dict[str, tuple[str, str]]] = {"left": {}, "right": {}}
    for key, (before_left, before_right) in link["base"].items():
        changed_left, changed_right = left[key] != before_left, right[key] != before_right
        if not changed_left and not changed_right:
            continue
        if left[key] == right[key]:
            base[key] = (left[key], right[key])
        elif changed_left:
            fields["right"][key] = converted(key, customer)
            lines["right"][key] = (left[key], left[key])
        else:
            fields["left"][key] = returned(key, card)
            lines["left"][key] = (right[key], right[key])
    writes, pending, issued = [], dict(link["pending"]), link["issued"]
    for side in ("left", "right"):
        if not fields[side] or side in pending:
            continue
        issued += 1
        write = {
            "link": link["id"],
            "side": side,
            "version": issued,
            "id": link[f"{side}_id"],
            "fields": fields[side],
            "expected": {key: (right if side == "right" else left)[key] for key in fields[side]},
        }
        writes.append(write)
        pending[side] = {"version": issued, "at": now, "lines": lines[side], "write": write}
    return {
        "link": {**link, "base": base, "pending": pending, "issued": issued, "status": "active"},
        "writes": writes,
        "lines": sorted({*fields["left"], *fields["right"]}),
        "why": "the other side changed since both last agreed" if writes else "nothing changed",
    }
