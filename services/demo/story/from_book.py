"""Steps that begin in the address book."""

from __future__ import annotations

from functools import partial
from urllib.parse import quote

from services.demo.office import value
from services.demo.scene import NotInStep, Scene
from services.demo.story.sight import card, contacts, customer, customers, digits, people, told
from services.demo.story.step import Step, no_writes
from services.sync.control import HeldChange, approve, held


async def _written_down(scene: Scene) -> str:
    person = scene.person("Mary Somerville", 105)
    text = (
        "BEGIN:VCARD\r\nVERSION:3.0\r\n"
        f"UID:mary-{scene.run}\r\nFN:{person.name}\r\nN:Somerville;Mary;;;\r\n"
        f"EMAIL:{person.email}\r\nTEL:{person.phone}\r\nEND:VCARD\r\n"
    )
    await scene.book.put(f"mary-{scene.run}.vcf", text)

    async def look() -> str:
        return f"{await customers(scene, person.email)} | {await contacts(scene, person.email)}"

    same = (person.name, person.phone)
    await scene.agree(f"{told('customer', *same)} | {told('contact', *same)}", look)
    scene.ids["Mary"] = (await customer(scene, person.email))["id"]
    sent = (scene.to_shop, [quote(person.email, safe="")]), (scene.to_office, [person.email])
    return scene.by_feed(scene.to_book, [person.email], *sent)


async def _held_back(scene: Scene) -> str:
    old, new = people(scene)["Grace"].email, _new_address(scene)
    before = scene.writes()
    found = await card(scene, old)
    await scene.book.put(found.path, found.replaced("EMAIL", new), found.etag)

    async def look() -> str:
        return "held" if await _waiting(scene) else "not held"

    await scene.agree("held", look)
    await scene.quiet()
    await scene.agree(f"{old} | {old}", partial(_emails, scene))
    return no_writes(scene, before)


async def _approved(scene: Scene) -> str:
    new = _new_address(scene)
    change = await _waiting(scene)
    if change is None:
        raise NotInStep("expected a held e-mail; none is held")
    manifests = {name: app.manifest for name, app in scene.installation.apps.items()}
    if not await approve(scene.installation.store, manifests, change):
        raise NotInStep("expected the held e-mail to be approved; it no longer waits")
    await scene.agree(f"{new} | {new}", partial(_emails, scene))
    return f"contactsync held approve {change.id}"


async def _called_back(scene: Scene) -> str:
    email = people(scene)["Grace"].email
    found = await card(scene, email)
    await scene.book.put(found.path, found.replaced("TEL", "+1 202 555 0160"), found.etag)

    async def look() -> str:
        one, others = await scene.shop.get(scene.ids["Grace"]), await scene.office.with_email(email)
        return " | ".join([digits(one["phone"]), *(digits(value(each, "phoneNumbers")) for each in others)])

    await scene.agree("12025550160 | 12025550160", look)
    sent = (scene.to_shop, [scene.ids["Grace"]]), (scene.to_office, [scene.contacts["Grace"]])
    return scene.by_feed(scene.to_book, [email, "0160"], *sent)


async def _emails(scene: Scene) -> str:
    """Grace's address in Stripe and in Google."""
    one = await scene.shop.get(scene.ids["Grace"])
    others = [each for each in await scene.office.all() if each["resourceName"] == scene.contacts["Grace"]]
    return " | ".join([str(one["email"]), *(value(each, "emailAddresses") for each in others)])


async def _waiting(scene: Scene) -> HeldChange | None:
    async with scene.installation.store.transaction(readonly=True) as database:
        return next((change for change in await held(database) if change.contact == scene.ids["Grace"]), None)


def _new_address(scene: Scene) -> str:
    return f"rear.admiral.{scene.run}@example.com"


STEPS = (
    Step("A phone number changes in the address book, and reaches Stripe and Google", _called_back),
    Step("A new card in the address book becomes a customer, and a contact in Google", _written_down),
    Step("An e-mail address changes in the address book: receipts would go there, so it is held", _held_back),
    Step("A person approves it", _approved),
)
