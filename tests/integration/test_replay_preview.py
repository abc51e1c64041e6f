"""G5: a preview of other rules tells the truth, and writes nothing."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from services.contracts.connection import Connection
from services.contracts.contact import Contact, Fields, PersonName
from services.runtime.log import EVENTS, RECEIPTS
from services.runtime.store import Store
from services.sync.core.why import values_told
from services.sync.replay.forecast import forecast
from services.sync.replay.outlook import Outlook, outlooks
from services.sync.replay.preview import Preview
from tests.conftest import Postgres
from tests.integration.plan_rig import ACCOUNTS, Apps
from tests.integration.sync_messages import shop
from tests.integration.sync_rig import MANIFESTS, PAIR, Rig, rig
from tests.integration.test_plan import CHOSEN, MISTAKE

Told = dict[tuple[str, str], tuple[dict[str, tuple[str, ...]], tuple[str, ...]]]


async def lived(apps: Apps) -> None:
    """People and both apps for a while: two first scans, edits of both sides and of what we made, a tag, a deletion."""
    await apps.people(
        "shop",
        *((f"c{n}", shop(f"Person {n}", f"p{n}@example.com", phone=f"+1 202 555 010{n}")) for n in range(6)),
        ("late", shop("Late", "late@example.com")),
    )
    card: Fields = {"n": (PersonName(given="Person", family="3"),), "email": ("p3@example.com",)}
    await apps.people(
        "office", ("known", card), ("loner", {"n": (PersonName(given="Lo"),), "email": ("lo@example.com",)})
    )
    await apps.scanned("shop", "office")
    await apps.rest()
    made = {
        contact.fields["email"][0]: key[1]
        for key, contact in apps.contacts.items()
        if contact.mark and key[0] == "office"
    }
    await apps.edit("shop", "c1", phone=("+1 202 555 0177",))
    await apps.rest()
    await apps.edit("office", made["p1@example.com"], tel=("+12025550188",))
    if card_of_two := made.get("p2@example.com"):
        await apps.edit("office", card_of_two, "VIP", adr=())
    await apps.rest()
    await apps.edit("shop", "c1", name=("Person One",))
    await apps.edit("shop", "c2", email=("second@example.com",))
    await apps.rest()
    if card_of_four := made.get("p4@example.com"):
        await apps.delete("office", card_of_four)
    await apps.rest()


async def previewed(made: Rig, *connections: Connection) -> Preview:
    bounds = {**await made.log.bounds(EVENTS), **await made.log.bounds(RECEIPTS)}
    found, _ = await forecast(made.store, made.log.read, bounds, MANIFESTS, ACCOUNTS, connections)
    return found


def told(contact: Contact) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    fields = {path: values_told(values) for path, values in contact.fields.items() if values_told(values)}
    return fields, contact.tags


def foreseen(preview: Preview) -> Told:
    """Every contact as the preview leaves it, by the id that it really has."""
    made, found = preview.made_as(), {}
    for key in preview.trial.contacts():
        record = preview.trial.record(*key)
        if record is not None and record.live and record.contact is not None:
            found[made.get(key, key)] = told(record.contact)
    return found


async def test_g5_a_preview_is_what_applying_leads_to_contact_by_contact(store: Store) -> None:
    async with rig(store, scanned=False) as made:
        apps = await Apps.of(made)
        await lived(apps)
        before = {key: told(contact) for key, contact in apps.contacts.items()}
        content, asked = await made.content(), apps.asked

        same = await previewed(made, PAIR)
        assert same.audit.clean
        assert same.echoes >= len(apps.contacts)
        assert list(outlooks(same)) == []
        assert foreseen(same) == before
        assert same.would == same.happened

        preview = await previewed(made, MISTAKE)
        found = list(outlooks(preview))
        assert await made.content() == content
        assert await made.commands() == []
        assert apps.asked == asked

        await made.connect(MISTAKE)
        assert await apps.rest()
        after = {key: told(contact) for key, contact in apps.contacts.items()}
        assert foreseen(preview) == after
        assert {(each.account, each.contact): fields_of(each) for each in found if each.kind == "update"} == {
            key: {
                path: (before[key][0].get(path, ()), after[key][0].get(path, ()))
                for path in {*before[key][0], *after[key][0]}
                if before[key][0].get(path, ()) != after[key][0].get(path, ())
            }
            for key in after
            if before[key][0] != after[key][0]
        }


@pytest.mark.parametrize("other", [MISTAKE, CHOSEN], ids=["mapping", "rule"])
async def test_g5_a_preview_is_the_life_that_other_rules_would_have_led_to(
    store: Store, postgres: Postgres, other: Connection
) -> None:
    async with rig(store, scanned=False) as made:
        await lived(await Apps.of(made))
        preview = await previewed(made, other)
    dsn = postgres.create()
    async with Store.open(dsn) as second, rig(second, other, scanned=False) as elsewhere:
        apps = await Apps.of(elsewhere)
        await lived(apps)
    postgres.drop(dsn)
    assert by_address(foreseen(preview)) == by_address({key: told(each) for key, each in apps.contacts.items()})


def by_address(found: Told) -> dict[tuple[str, tuple[str, ...]], tuple[dict[str, tuple[str, ...]], tuple[str, ...]]]:
    """Contacts by account and e-mail: ids of those that were made count in the order of their making."""
    made = {(key[0], contact[0]["email"]): contact for key, contact in found.items()}
    assert len(made) == len(found)
    return made


def fields_of(one: Outlook) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    return {change.field: (change.before, change.after) for change in one.changes}


async def test_g5_a_preview_of_a_stricter_rule_names_who_would_not_have_been_made(store: Store) -> None:
    async with rig(store, scanned=False) as made:
        apps = await Apps.of(made)
        await lived(apps)
        preview = await previewed(made, CHOSEN)
        found = list(outlooks(preview))
        # Only people whose name begins with "Person 1" are paired; their card gets a tag, others have none.
        ours = {key[1]: contact for key, contact in apps.contacts.items() if contact.mark}
        kept = [key for key, contact in ours.items() if contact.fields["email"] == ("p1@example.com",)]
        assert {each.contact for each in found if each.kind == "not_created"} == ours.keys() - set(kept)
        assert {each.who for each in found if each.kind == "exclude"} >= {"p0@example.com", "late@example.com"}
        assert preview.lost > 0
        assert preview.would["pair", "create"] == 1
        assert preview.happened["pair", "create"] == len(ours) + 1
        unpaused = await previewed(made, replace(PAIR, direction="left_to_right"))
        assert unpaused.audit.clean
