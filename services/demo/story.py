"""The story, step by step. Each changes something at one server as its people would, and looks at the other one."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec

from services.demo.scene import NotInStep, Person, Scene
from services.sync.control import HeldChange, approve, held

TRASH = "PieSync Trash"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it shows, and what plays it. The player returns a note, or raises `NotInStep`."""

    title: str
    play: Callable[[Scene], Awaitable[str]]


async def _created(scene: Scene) -> str:
    people = _people(scene)
    for person in people.values():
        address = {"line1": person.street, "city": "London", "country": "GB"}
        made = await scene.shop.create(name=person.name, email=person.email, phone=person.phone, address=address)
        scene.ids[person.name.partition(" ")[0]] = made["id"]
    notes = []
    for person in people.values():
        expected = f"1 card: {person.name}, {_digits(person.phone)}, {person.street}"
        await scene.agree(expected, partial(_card, scene, person.email))
        notes.append(scene.by_webhook([person.email], [person.email]))
    return ", ".join(notes[:1] + [note.rpartition("request ")[2] for note in notes[1:]])


async def _named(scene: Scene) -> str:
    email = _people(scene)["Ada"].email
    await scene.shop.change(scene.ids["Ada"], name="Ada Lovelace")

    async def look() -> str:
        cards = await scene.book.with_email(email)
        return "; ".join(f"{card.value('FN')}: {card.value('N').rstrip(';')}" for card in cards)

    await scene.agree("Ada Lovelace: Lovelace;Ada", look)
    return scene.by_webhook([email, "Ada Lovelace"], [email])


async def _phoned(scene: Scene) -> str:
    person = _people(scene)["Alan"]
    await scene.shop.change(scene.ids["Alan"], phone="+1 202 555 0150")
    await scene.agree(f"1 card: {person.name}, 12025550150, {person.street}", lambda: _card(scene, person.email))
    return scene.by_webhook([person.email, "0150"], [person.email])


async def _moved(scene: Scene) -> str:
    person = _people(scene)["Alan"]
    address = {"line1": "Hut 8", "city": "Bletchley", "country": "GB"}
    await scene.shop.change(scene.ids["Alan"], address=address)
    await scene.agree(f"1 card: {person.name}, 12025550150, Hut 8", lambda: _card(scene, person.email))
    return scene.by_webhook([person.email, "Hut 8"], [person.email])


async def _repeated(scene: Scene) -> str:
    email = _people(scene)["Ada"].email
    await scene.quiet()
    before = scene.writes()
    bodies = [each.body for each in scene.hooks.exchanges if each.status == 200 and each.says(email)]
    renamed = next(body for body in bodies if b"Ada Lovelace" in body)
    late = msgspec.json.decode(next(body for body in bodies if b"Ada King" in body))
    # As if this one had been lost first: an id that nobody has seen, and the time of long ago.
    late["id"] = f"evt_late_{scene.run}"
    for body in (renamed, msgspec.json.encode(late)):
        answer = await scene.deliver(body)
        if answer.status_code != 200:
            raise NotInStep(f"expected the webhook to be taken (200); seen: {answer.status_code}")
    await scene.quiet()
    await scene.agree("Ada Lovelace", lambda: _name(scene, email))
    return _no_writes(scene, before)


async def _forged(scene: Scene) -> str:
    email = _people(scene)["Ada"].email
    before = scene.writes()
    body = next(each.body for each in scene.hooks.exchanges if each.status == 200 and each.says(email))
    forged = body.replace(b"Ada King", b"Mallory").replace(b'"evt_', b'"evt_forged')
    answer = await scene.deliver(forged, secret="whsec_somebody_elses")  # noqa: S106 - the point of the step
    if answer.status_code != 400:
        raise NotInStep(f"expected the webhook to be refused (400); seen: {answer.status_code}")
    await scene.quiet()
    await scene.agree("Ada Lovelace", lambda: _name(scene, email))
    return _no_writes(scene, before)


async def _called_back(scene: Scene) -> str:
    email = _people(scene)["Grace"].email
    card = (await scene.book.with_email(email))[0]
    await scene.book.put(card.path, card.replaced("TEL", "+1 202 555 0160"), card.etag)

    async def look() -> str:
        return _digits((await scene.shop.get(scene.ids["Grace"]))["phone"])

    await scene.agree("12025550160", look)
    return scene.by_feed([email, "0160"], [scene.ids["Grace"]])


async def _written_down(scene: Scene) -> str:
    person = scene.person("Mary Somerville", 105)
    card = (
        "BEGIN:VCARD\r\nVERSION:3.0\r\n"
        f"UID:mary-{scene.run}\r\nFN:{person.name}\r\nN:Somerville;Mary;;;\r\n"
        f"EMAIL:{person.email}\r\nTEL:{person.phone}\r\nEND:VCARD\r\n"
    )
    await scene.book.put(f"mary-{scene.run}.vcf", card)

    async def look() -> str:
        found = await scene.shop.with_email(person.email)
        told = "; ".join(f"{one['name']}, {_digits(one['phone'])}" for one in found)
        return f"{len(found)} customer: {told}"

    await scene.agree(f"1 customer: {person.name}, {_digits(person.phone)}", look)
    scene.ids["Mary"] = (await scene.shop.with_email(person.email))[0]["id"]
    return scene.by_feed([person.email], [quote(person.email, safe="")])


async def _held_back(scene: Scene) -> str:
    old, new = _people(scene)["Grace"].email, f"rear.admiral.{scene.run}@example.com"
    before = scene.writes()
    card = (await scene.book.with_email(old))[0]
    await scene.book.put(card.path, card.replaced("EMAIL", new), card.etag)

    async def look() -> str:
        return "held" if await _waiting(scene, "Grace") else "not held"

    await scene.agree("held", look)
    await scene.quiet()
    await scene.agree(old, lambda: _email(scene, "Grace"))
    return _no_writes(scene, before)


async def _approved(scene: Scene) -> str:
    new = f"rear.admiral.{scene.run}@example.com"
    change = await _waiting(scene, "Grace")
    if change is None:
        raise NotInStep("expected a held e-mail; none is held")
    manifests = {name: app.manifest for name, app in scene.installation.apps.items()}
    if not await approve(scene.installation.store, manifests, change):
        raise NotInStep("expected the held e-mail to be approved; it no longer waits")
    await scene.agree(new, lambda: _email(scene, "Grace"))
    return f"contactsync held approve {change.id}"


async def _deleted(scene: Scene) -> str:
    person, id = _people(scene)["Katherine"], scene.ids["Katherine"]
    before = await scene.shop.get(id)
    card = (await scene.book.with_email(person.email))[0]
    await scene.book.delete(card)
    days = {datetime.now(UTC).date().isoformat()}

    async def look() -> str:
        days.add(datetime.now(UTC).date().isoformat())  # midnight may pass
        now = await scene.shop.get(id)
        added = {key: value for key, value in now["metadata"].items() if before["metadata"].get(key) != value}
        tagged = "tagged" if set(added) == {TRASH} and added[TRASH] in days else f"metadata {sorted(added)}"
        return f"{tagged}, {'the rest as before' if _rest(now) == _rest(before) else 'other fields changed, too'}"

    await scene.agree("tagged, the rest as before", look)
    await scene.quiet()
    await scene.agree("no card", lambda: _card(scene, person.email))
    note = scene.by_feed([card.path], [id], counted=False)
    return f"{note}, 2 s of them on purpose: two cards might be being merged"


async def _echoes(scene: Scene) -> str:
    """Every write of ours comes back by webhook or feed; nothing may follow from it."""
    told = [each for each in scene.to_shop.exchanges if each.is_write and each.arrived >= scene.started]
    put = [each for each in scene.to_book.exchanges if each.is_write and each.arrived >= scene.started]

    async def heard() -> str:
        missing = 0
        for each in told:
            id = msgspec.json.decode(each.answer)["id"]
            missing += not any(hook.arrived > each.arrived and hook.says(id) for hook in scene.hooks.exchanges)
        for each in put:
            missing += not any(
                answer.method == "REPORT" and answer.answered > each.answered and answer.tells(each.path)
                for answer in scene.to_book.exchanges
            )
        return f"{missing} echoes missing"

    await scene.agree("0 echoes missing", heard)
    await scene.quiet()
    expected = (7, 4)  # four cards made, three changed; two customers changed, one made, one tagged
    if scene.writes() != expected:
        raise NotInStep(f"expected {expected} writes to address book and Stripe in all; seen: {scene.writes()}")
    return f"{len(told) + len(put)} writes came back, none led to another"


async def _equal(scene: Scene) -> str:
    def line(name: str, email: str, phone: str) -> str:
        return f"{name} <{email}> {_digits(phone)}"

    ours = f".{scene.run}@example.com"

    async def look() -> str:
        customers = [
            line(one["name"], one["email"], one["phone"])
            for one in await scene.shop.all()
            if (one["email"] or "").endswith(ours) and TRASH not in one["metadata"]
        ]
        cards = [
            line(card.value("FN"), card.value("EMAIL"), card.value("TEL"))
            for card in await scene.book.all()
            if card.value("EMAIL").endswith(ours)
        ]
        same = sorted(customers) == sorted(cards)
        return f"{len(customers)} customers, {len(cards)} cards, {'equal' if same else 'not equal'}"

    await scene.agree("4 customers, 4 cards, equal", look)
    return "by the servers' own APIs"


STEPS = (
    Step("Four customers created in Stripe appear in the address book", _created),
    Step("A name changes in Stripe: the card's family name follows, its given name stays", _named),
    Step("A phone number changes in Stripe", _phoned),
    Step("An address changes in Stripe", _moved),
    Step("A webhook comes twice, and another one comes late: nothing changes", _repeated),
    Step("A forged webhook is refused", _forged),
    Step("A phone number changes in the address book, and reaches Stripe", _called_back),
    Step("A new card in the address book becomes a customer", _written_down),
    Step("An e-mail address changes in the address book: receipts would go there, so it is held", _held_back),
    Step("A person approves it", _approved),
    Step(f"A card is deleted: its customer gets the tag `{TRASH}`, nothing else", _deleted),
    Step("Our own writes come back as events and come to nothing", _echoes),
    Step("Both sides are equal", _equal),
)
"""The story."""


def _people(scene: Scene) -> Mapping[str, Person]:
    people = (
        scene.person("Ada King", 101, "12 St James's Square"),
        scene.person("Grace Hopper", 102, "1 Navy Yard"),
        scene.person("Alan Turing", 103, "2 Warrington Crescent"),
        scene.person("Katherine Johnson", 104, "7 Langley Road"),
    )
    return {person.name.partition(" ")[0]: person for person in people}


async def _card(scene: Scene, email: str) -> str:
    cards = await scene.book.with_email(email)
    told = "; ".join(
        f"{card.value('FN')}, {_digits(card.value('TEL'))}, {card.value('ADR').split(';')[2:3][0]}" for card in cards
    )
    return f"{len(cards)} card: {told}" if cards else "no card"


async def _name(scene: Scene, email: str) -> str:
    return "; ".join(card.value("FN") for card in await scene.book.with_email(email))


async def _email(scene: Scene, who: str) -> str:
    return str((await scene.shop.get(scene.ids[who]))["email"])


async def _waiting(scene: Scene, who: str) -> HeldChange | None:
    async with scene.installation.store.transaction(readonly=True) as database:
        return next((change for change in await held(database) if change.contact == scene.ids[who]), None)


def _rest(customer: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in customer.items() if key != "metadata"}


def _no_writes(scene: Scene, before: tuple[int, int]) -> str:
    if scene.writes() != before:
        raise NotInStep(f"expected no write; seen by address book and Stripe: {before} before, {scene.writes()} after")
    return "no write"


def _digits(text: str | None) -> str:
    return re.sub(r"\D", "", text or "")
