"""Steps that begin in Google."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from services.contracts.app import TRASH
from services.demo.office import Contact
from services.demo.scene import Scene
from services.demo.shop import Customer
from services.demo.story.sight import card, cards, contact, contacts, customer, customers, people, told
from services.demo.story.step import Step

_TYPED = ("names", "emailAddresses", "phoneNumbers", "addresses")
_COMPUTED = frozenset({"metadata", "displayName", "formattedValue", "formattedType", "canonicalForm"})


async def _called(scene: Scene) -> str:
    person = people(scene)["Ada"]
    await scene.office.change(await contact(scene, person.email), phoneNumbers=[{"value": "+1 202 555 0170"}])

    async def look() -> str:
        return f"{await customers(scene, person.email)} | {await cards(scene, person.email)}"

    same = ("Ada Lovelace", "+1 202 555 0170", person.street)
    await scene.agree(f"{told('customer', *same)} | {told('card', *same)}", look)
    sent = (scene.to_shop, [scene.ids["Ada"]]), (scene.to_book, [person.email])
    return scene.by_feed(scene.to_office, [person.email, "0170"], *sent)


async def _met(scene: Scene) -> str:
    person = scene.person("Rosalind Franklin", 106)
    await scene.office.create(
        names=[{"givenName": "Rosalind", "familyName": "Franklin"}],
        emailAddresses=[{"value": person.email}],
        phoneNumbers=[{"value": person.phone}],
    )

    async def look() -> str:
        return f"{await customers(scene, person.email)} | {await cards(scene, person.email)}"

    same = (person.name, person.phone)
    await scene.agree(f"{told('customer', *same)} | {told('card', *same)}", look)
    scene.ids["Rosalind"] = (await customer(scene, person.email))["id"]
    sent = (scene.to_shop, [quote(person.email, safe="")]), (scene.to_book, [person.email])
    return scene.by_feed(scene.to_office, [person.email], *sent)


async def _deleted(scene: Scene) -> str:
    person, id = people(scene)["Katherine"], scene.ids["Katherine"]
    before, on_paper = await scene.shop.get(id), await card(scene, person.email)
    gone = await contact(scene, person.email)
    await scene.office.delete(gone)
    days = {datetime.now(UTC).date().isoformat()}

    async def look() -> str:
        days.add(datetime.now(UTC).date().isoformat())  # midnight may pass
        now = await scene.shop.get(id)
        added = {key: value for key, value in now["metadata"].items() if before["metadata"].get(key) != value}
        tagged = "tagged" if set(added) == {TRASH} and added[TRASH] in days else f"metadata {sorted(added)}"
        return f"{tagged}, {await _kept(scene, before, on_paper.etag, person.email)}"

    await scene.agree(f"tagged, {_KEPT}", look)
    await scene.quiet()
    await scene.agree(f"tagged, {_KEPT}", look)
    await scene.agree("no contact", lambda: contacts(scene, person.email))
    scene.deleted = gone
    sent = (scene.to_shop, [id])
    note = scene.by_feed(scene.to_office, [gone["resourceName"], '"deleted"'], sent, counted=False)
    return f"{note}, {scene.patience:.0f} s of them on purpose: two contacts might be being merged"


async def _back(scene: Scene) -> str:
    person, id = people(scene)["Katherine"], scene.ids["Katherine"]
    before, on_paper = await scene.shop.get(id), await card(scene, person.email)
    made = await scene.office.create(**_typed_in(scene.deleted))
    scene.contacts["Katherine"] = made["resourceName"]
    meant = {key: value for key, value in before["metadata"].items() if key != TRASH}

    async def look() -> str:
        now = await scene.shop.get(id)
        tagged = "no tag" if now["metadata"] == meant else f"metadata {sorted(now['metadata'])}"
        return f"{tagged}, {await _kept(scene, before, on_paper.etag, person.email)}"

    await scene.agree(f"no tag, {_KEPT}", look)
    await scene.quiet()
    await scene.agree(f"no tag, {_KEPT}", look)
    same = (person.name, person.phone, person.street)
    await scene.agree(told("contact", *same), lambda: contacts(scene, person.email))
    return scene.by_feed(scene.to_office, [made["resourceName"]], (scene.to_shop, [id]))


_KEPT = "the rest as before, its card as before"


async def _kept(scene: Scene, before: Customer, etag: str, email: str) -> str:
    """Whether nothing but the customer's metadata changed, and its card not at all."""
    rest = _rest(await scene.shop.get(before["id"])) == _rest(before)
    same = [each.etag for each in await scene.book.with_email(email)] == [etag]
    return (
        f"{'the rest as before' if rest else 'other fields changed, too'}, "
        f"{'its card as before' if same else 'its card is another'}"
    )


def _typed_in(one: Contact) -> dict[str, list[dict[str, str]]]:
    """What a person would type in who has this contact on paper."""
    return {
        field: [{key: part for key, part in row.items() if key not in _COMPUTED} for row in one[field]]
        for field in _TYPED
        if field in one
    }


def _rest(one: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in one.items() if key != "metadata"}


STEPS = (
    Step("A phone number changes in Google, and reaches Stripe and from there the address book", _called),
    Step("A new contact in Google becomes a customer and a card", _met),
)
DELETION = (
    Step(
        f"A contact is deleted in Google: its customer gets the tag `{TRASH}`, nothing else; its card stays", _deleted
    ),
    Step("The person is in Google again: the tag goes", _back),
)
