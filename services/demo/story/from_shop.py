"""Steps that begin in Stripe."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from services.demo.office import value
from services.demo.scene import NotInStep, Scene
from services.demo.story.sight import both, contact, people, told_both
from services.demo.story.step import Step, no_writes


async def _created(scene: Scene) -> str:
    everybody = people(scene)
    for first, person in everybody.items():
        address = {"line1": person.street, "city": "London", "country": "GB"}
        made = await scene.shop.create(name=person.name, email=person.email, phone=person.phone, address=address)
        scene.ids[first] = made["id"]
    notes = []
    for first, person in everybody.items():
        expected = told_both(person.name, person.phone, person.street)
        await scene.agree(expected, partial(both, scene, person.email))
        scene.contacts[first] = (await contact(scene, person.email))["resourceName"]
        words = [person.email]
        notes.append(scene.by_webhook(words, (scene.to_book, words), (scene.to_office, words)))
    return f"{notes[0]}; the last one: {notes[-1]}"


async def _named(scene: Scene) -> str:
    email = people(scene)["Ada"].email
    await scene.shop.change(scene.ids["Ada"], name="Ada Lovelace")

    async def look() -> str:
        cards, found = await scene.book.with_email(email), await scene.office.with_email(email)
        told = [f"{each.value('FN')}: {each.value('N').rstrip(';')}" for each in cards]
        parts = ("displayName", "familyName", "givenName")
        return "; ".join(
            [*told, *("{}: {};{}".format(*(value(each, "names", part) for part in parts)) for each in found)]
        )

    await scene.agree("Ada Lovelace: Lovelace;Ada; Ada Lovelace: Lovelace;Ada", look)
    return _reached(scene, "Ada", [email, "Ada Lovelace"])


async def _moved(scene: Scene) -> str:
    person = people(scene)["Alan"]
    address = {"line1": "Hut 8", "city": "Bletchley", "country": "GB"}
    await scene.shop.change(scene.ids["Alan"], phone="+1 202 555 0150", address=address)
    expected = told_both(person.name, "+1 202 555 0150", "Hut 8")
    await scene.agree(expected, partial(both, scene, person.email))
    return _reached(scene, "Alan", [person.email, "Hut 8"])


async def _repeated(scene: Scene) -> str:
    await scene.quiet()
    before = scene.writes()
    renamed = _body(scene, lambda body: b"Ada Lovelace" in body)
    late = msgspec.json.decode(_body(scene, lambda body: b"Ada King" in body))
    # As if this one had been lost first: an id that nobody has seen, and the time of long ago.
    late["id"] = f"evt_late_{scene.run}"
    for body in (renamed, msgspec.json.encode(late)):
        answer = await scene.deliver(body)
        if answer.status_code != 200:
            raise NotInStep(f"expected the webhook to be taken (200); seen: {answer.status_code}")
    await scene.quiet()
    return await _as_before(scene) or no_writes(scene, before)


async def _forged(scene: Scene) -> str:
    before = scene.writes()
    body = _body(scene, lambda body: b"Ada King" in body)
    forged = body.replace(b"Ada King", b"Mallory").replace(b'"evt_', b'"evt_forged')
    answer = await scene.deliver(forged, secret="whsec_somebody_elses")  # noqa: S106 - the point of the step
    if answer.status_code != 400:
        raise NotInStep(f"expected the webhook to be refused (400); seen: {answer.status_code}")
    await scene.quiet()
    return await _as_before(scene) or no_writes(scene, before)


async def _as_before(scene: Scene) -> str:
    """Nothing, when Ada's name is what it was. Raises `NotInStep`."""
    person = people(scene)["Ada"]
    expected = told_both("Ada Lovelace", person.phone, person.street)
    await scene.agree(expected, partial(both, scene, person.email))
    return ""


def _body(scene: Scene, fits: Callable[[bytes], bool]) -> bytes:
    """The first webhook about Ada that was taken and fits. Raises `NotInStep`."""
    email = people(scene)["Ada"].email
    for each in scene.hooks.exchanges:
        if each.status == 200 and each.says(email) and fits(each.body):
            return each.body
    raise NotInStep(f"expected a webhook about {email} to have come; none fits")


def _reached(scene: Scene, first: str, heard: list[str]) -> str:
    email = people(scene)[first].email
    return scene.by_webhook(heard, (scene.to_book, [email]), (scene.to_office, [scene.contacts[first]]))


STEPS = (
    Step("Four customers created in Stripe appear in the address book and in Google", _created),
    Step("A name changes in Stripe: the family name follows in both, the given name stays", _named),
    Step("A phone number and an address change in Stripe", _moved),
    Step("A webhook comes twice, and another one comes late: nothing changes", _repeated),
    Step("A forged webhook is refused", _forged),
)
