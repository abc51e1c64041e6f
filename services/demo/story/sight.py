"""Who is in the story, and how somebody looks on each of the three sides, by the servers' own APIs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

from services.demo.book import Card
from services.demo.office import Contact, value
from services.demo.scene import NotInStep, Person, Scene
from services.demo.shop import Customer

T = TypeVar("T")


def people(scene: Scene) -> Mapping[str, Person]:
    """The customers with whom the story begins, by first name."""
    made = (
        scene.person("Ada King", 101, "12 St James's Square"),
        scene.person("Grace Hopper", 102, "1 Navy Yard"),
        scene.person("Alan Turing", 103, "2 Warrington Crescent"),
        scene.person("Katherine Johnson", 104, "7 Langley Road"),
    )
    return {person.name.partition(" ")[0]: person for person in made}


def digits(text: str | None) -> str:
    """A phone number as its digits: apps write them in their own ways."""
    return re.sub(r"\D", "", text or "")


def the(found: Sequence[T], what: str) -> T:
    """The only one. Raises `NotInStep` if there is another number of them."""
    if len(found) != 1:
        raise NotInStep(f"expected one {what}; seen: {len(found)}")
    return found[0]


async def customer(scene: Scene, email: str) -> Customer:
    """The customer with this address. Raises `NotInStep`."""
    return the(await scene.shop.with_email(email), f"customer with {email}")


async def card(scene: Scene, email: str) -> Card:
    """The card with this address. Raises `NotInStep`."""
    return the(await scene.book.with_email(email), f"card with {email}")


async def contact(scene: Scene, email: str) -> Contact:
    """The contact in Google with this address. Raises `NotInStep`."""
    return the(await scene.office.with_email(email), f"contact in Google with {email}")


async def customers(scene: Scene, email: str) -> str:
    """How many customers have this address, and what is known of them."""
    found = await scene.shop.with_email(email)
    return _told("customer", [_line(one["name"], one["phone"], (one["address"] or {}).get("line1")) for one in found])


async def cards(scene: Scene, email: str) -> str:
    """How many cards have this address, and what is on them."""
    found = await scene.book.with_email(email)
    streets = [next(iter(each.value("ADR").split(";")[2:3]), "") for each in found]
    lines = zip(found, streets, strict=True)
    return _told("card", [_line(each.value("FN"), each.value("TEL"), street) for each, street in lines])


async def contacts(scene: Scene, email: str) -> str:
    """How many contacts in Google have this address, and what is known of them."""
    found = await scene.office.with_email(email)
    return _told("contact", [_line(*_parts(each)) for each in found])


async def both(scene: Scene, email: str) -> str:
    """What the address book and Google have."""
    return f"{await cards(scene, email)} | {await contacts(scene, email)}"


def told_both(name: str, phone: str, street: str = "") -> str:
    """What `both` gives where each has one like this."""
    return f"{_told('card', [_line(name, phone, street)])} | {_told('contact', [_line(name, phone, street)])}"


def told(kind: str, name: str, phone: str, street: str = "") -> str:
    """What `customers`, `cards` or `contacts` gives where there is one like this; kind: customer, card, contact."""
    return _told(kind, [_line(name, phone, street)])


def _parts(each: Contact) -> tuple[str, str, str]:
    return (
        value(each, "names", "displayName"),
        value(each, "phoneNumbers"),
        value(each, "addresses", "streetAddress"),
    )


def _line(name: str | None, phone: str | None, street: str | None) -> str:
    return ", ".join(part for part in (name, digits(phone), street) if part)


def _told(kind: str, lines: Sequence[str]) -> str:
    return f"{len(lines)} {kind}: {'; '.join(lines)}" if lines else f"no {kind}"
