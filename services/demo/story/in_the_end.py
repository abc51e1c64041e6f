"""The last steps: nothing goes round in circles, and all sides have the same."""

from __future__ import annotations

import msgspec

from services.contracts.app import TRASH
from services.demo.office import value
from services.demo.scene import NotInStep, Scene, Writes
from services.demo.story.sight import digits
from services.demo.story.step import Step
from services.demo.tap import Exchange, Tap

_EXPECTED = Writes(
    shop=7,  # two phone numbers and an address changed, two customers made, a tag set and taken off
    book=8,  # five cards made, three changed
    office=9,  # five contacts made, four changed
)


async def _echoes(scene: Scene) -> str:
    """Every write of ours comes back by webhook or feed; nothing may follow from it."""
    shop, book, office = (
        [each for each in tap.exchanges if each.is_write and each.arrived >= scene.started]
        for tap in (scene.to_shop, scene.to_book, scene.to_office)
    )

    async def heard() -> str:
        missing = sum(not _told_by_webhook(scene.hooks, each) for each in shop)
        missing += sum(not _told_by_feed(scene.to_book, "REPORT", each, each.path) for each in book)
        missing += sum(not _told_by_feed(scene.to_office, "GET", each, _resource(each)) for each in office)
        return f"{missing} echoes missing"

    await scene.agree("0 echoes missing", heard)
    await scene.quiet()
    if scene.writes() != _EXPECTED:
        raise NotInStep(f"expected {_EXPECTED} in all; seen: {scene.writes()}")
    return f"{len(shop) + len(book) + len(office)} writes came back, none led to another"


def _told_by_webhook(hooks: Tap, write: Exchange) -> bool:
    id = msgspec.json.decode(write.answer)["id"]
    return any(each.arrived > write.arrived and each.says(id) for each in hooks.exchanges)


def _told_by_feed(tap: Tap, method: str, write: Exchange, words: str) -> bool:
    return any(each.method == method and each.answered > write.answered and each.tells(words) for each in tap.exchanges)


def _resource(write: Exchange) -> str:
    return str(msgspec.json.decode(write.answer)["resourceName"])


async def _equal(scene: Scene) -> str:
    ours = f".{scene.run}@example.com"

    async def look() -> str:
        customers = [
            _line(one["name"], one["email"], one["phone"])
            for one in await scene.shop.all()
            if (one["email"] or "").endswith(ours) and TRASH not in one["metadata"]
        ]
        cards = [
            _line(card.value("FN"), card.value("EMAIL"), card.value("TEL"))
            for card in await scene.book.all()
            if card.value("EMAIL").endswith(ours)
        ]
        contacts = [
            _line(value(each, "names", "displayName"), value(each, "emailAddresses"), value(each, "phoneNumbers"))
            for each in await scene.office.all()
            if value(each, "emailAddresses").endswith(ours)
        ]
        same = sorted(customers) == sorted(cards) == sorted(contacts)
        equal = "equal" if same else "not equal"
        return f"{len(customers)} customers, {len(cards)} cards, {len(contacts)} contacts, {equal}"

    await scene.agree("6 customers, 6 cards, 6 contacts, equal", look)
    return "by the servers' own APIs"


def _line(name: str, email: str, phone: str) -> str:
    return f"{name} <{email}> {digits(phone)}"


STEPS = (
    Step("Our own writes come back as events and come to nothing", _echoes),
    Step("All three sides are equal", _equal),
)
