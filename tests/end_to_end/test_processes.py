"""The demo's story with two processes of every role on Kafka, while each of them is killed once in its midst."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from pathlib import Path

from services.connectors.stripe.sandbox import Where
from services.demo.kafka import Cluster
from services.sync.control import held
from tests.end_to_end.processes import until
from tests.end_to_end.processes_house import house
from tests.end_to_end.processes_story import (
    Story,
    killed_in_its_decision,
    killed_in_its_write,
    paused_beyond_its_session,
)
from tests.end_to_end.two_stripes import live

TRASH = "PieSync Trash"


async def everybody(story: Story) -> None:
    """Customers appear in the book once each. Each process of sync has somebody to decide about."""
    names = ["Ada King", "Grace Hopper", "Alan Turing", "Katherine Johnson", *(f"Extra {n}" for n in range(20))]
    deciding: set[str] = set()
    for at, name in enumerate(names):
        if at >= 4 and len(deciding) == 2:
            break
        first, _, last = name.partition(" ")
        story.created(f"{first}{at}" if first == "Extra" else first, last, f"+120255501{at:02}")
        deciding.add((await story.owner(list(story.ids)[-1])).name)
    for first in story.ids:
        await story.on_card(f"{first.lower()}@example.com", first)


async def each_sync_dies_in_a_decision(story: Story) -> None:
    for name in ("sync-0", "sync-1"):
        process = story.processes[name]
        for first in story.ids:
            if await story.owner(first) is process:
                break
        else:
            raise AssertionError(f"{name} decides about nobody")
        await killed_in_its_decision(story, process, first, name=f"{first} Lovelace")
        await story.on_card(f"{first.lower()}@example.com", "Lovelace")


async def each_ingest_dies_with_webhooks_under_way(story: Story) -> None:
    hooks = story.home.left.webhooks
    hooks.copies = 2
    for name, number in (("ingest-0", "0150"), ("ingest-1", "0151")):
        hooks.hold()
        for id in story.ids.values():
            story.home.left.dashboard.update(id, phone=f"+1202555{number}")
        sent = hooks.held
        hooks.release(shuffle=True)
        await until(lambda sent=sent: any(each.state == "delivered" for each in sent))  # type: ignore[misc]
        await story.kill(story.processes[name])
        for first in story.ids:
            await story.on_card(f"{first.lower()}@example.com", number)
    hooks.copies = 1
    await story.home.ready(story.processes["ingest-0"], story.processes["ingest-1"])


async def each_connectors_dies_in_a_write(story: Story) -> None:
    """One while a write to Stripe is under way, the other while one to the book is."""
    shop, book = story.home.left, story.home.book
    name, text = await story.card("ada@example.com")
    slow = shop.faults.slow(1.0, Where("POST", "/v1/customers/*"))

    async def called() -> None:
        await book.put(name, re.sub(r"TEL[^\r]*", "TEL:+12025550170", text))
        await until(lambda: slow.hits == 1, 40, "the write reaches Stripe")

    dead = await killed_in_its_write(story, "shop", called)
    await until(lambda: story.customer("Ada")["phone"] == "+12025550170", 60, "Ada's phone reaches Stripe")
    other = story.processes["connectors-1" if dead == "connectors-0" else "connectors-0"]
    if not await story.holds(other, "book"):
        await story.home.rest()  # a lease that it hasn't taken up again yet it can't give back
        await story.processes[dead].stop()
        await until(lambda: story.holds(other, "book"), 40, f"{other.name} writes to the book")
        await story.processes[dead].start()
    os.kill(book.pid, signal.SIGSTOP)
    try:

        async def moved() -> None:
            shop.dashboard.update(story.ids["Alan"], address={"line1": "Hut 8", "city": "Bletchley", "country": "GB"})

        assert await killed_in_its_write(story, "book", moved) == other.name
    finally:
        os.kill(book.pid, signal.SIGCONT)
    await story.on_card("alan@example.com", "Hut 8")


async def old_and_forged_webhooks_do_nothing(story: Story) -> None:
    """What came long ago comes again, late and doubled; somebody else's comes, too."""
    home, shop = story.home, story.home.left
    before = await home.moves()
    ada = [
        each.recorded for each in shop.webhooks.deliveries if f'"{story.ids["Ada"]}"' in json.dumps(each.recorded.body)
    ]
    late = {**ada[0].rendered(), "id": "evt_late"}
    assert [await story.deliver(json.dumps(each).encode()) for each in (late, ada[-1].rendered())] == [200, 200]
    forged = json.dumps({**ada[-1].rendered(), "id": "evt_forged"}).replace("Ada", "Mallory").encode()
    assert await story.deliver(forged, "whsec_somebody_elses") == 400
    await home.rest()
    assert await home.moves() == before


async def a_card_becomes_a_customer(story: Story) -> None:
    await story.home.book.put(
        "mary.vcf",
        "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:mary\r\nFN:Mary Somerville\r\nN:Somerville;Mary;;;\r\n"
        "EMAIL:mary@example.com\r\nEND:VCARD\r\n",
    )
    await until(
        lambda: "mary@example.com" in [customer["email"] for customer in live(story.home.left)],
        60,
        "Mary is a customer",
    )


async def an_address_waits_for_a_yes(story: Story) -> None:
    home = story.home
    name, text = await story.card("grace@example.com")
    await home.book.put(name, text.replace("grace@example.com", "admiral@example.com"))
    waiting: list[str] = []

    async def is_held() -> bool:
        async with home.store.transaction(readonly=True) as database:
            waiting.extend(change.id for change in await held(database))
        return bool(waiting)

    await until(is_held, 60, "Grace's new address is held")
    assert story.customer("Grace")["email"] == "grace@example.com"
    assert waiting[0] in await story.processes.command("held", "list")
    await story.processes.command("held", "approve", waiting[0])
    await until(
        lambda: story.customer("Grace")["email"] == "admiral@example.com", 60, "Grace's new address is approved"
    )


async def a_deletion_tags(story: Story) -> None:
    """A card goes: its customer is tagged, and nothing else happens to it."""
    name, _ = await story.card("katherine@example.com")
    await story.home.rest()
    before = dict(story.customer("Katherine"))
    await story.home.book.delete(name)
    await until(lambda: TRASH in story.customer("Katherine")["metadata"], 60, "Katherine is tagged")
    after = story.customer("Katherine")
    assert {key for key in after if after[key] != before[key]} == {"metadata"}
    await story.home.rest()


async def told(story: Story) -> None:
    """Both sides have what the story demands; nobody came twice; nothing goes on."""
    home, shop = story.home, story.home.left
    expected = {
        "Ada": ("ada@example.com", "+12025550170"),
        "Alan": ("alan@example.com", "+12025550151"),
        "Grace": ("admiral@example.com", "+12025550151"),
    }
    for first, (email, phone) in expected.items():
        customer = story.customer(first)
        assert (customer["email"], customer["phone"]) == (email, phone)
        _, text = await story.card(email)
        assert customer["name"] in text
        assert phone[-4:] in text
    assert story.customer("Katherine")["name"] == "Katherine Zuse"
    assert story.customer("Alan")["address"]["line1"] == "Hut 8"
    # Everybody but Katherine, who is gone from the book, is on both sides.
    emails = sorted(customer["email"] for customer in live(shop) if TRASH not in customer["metadata"])
    on_cards = [re.findall(r"^EMAIL[^:]*:(.+?)\r?$", text, re.MULTILINE) for text in await home.cards()]
    assert sorted(on_cards) == [[email] for email in emails]
    assert len(set(emails)) == len(emails)
    # We never delete: had anybody been made twice, two would be there.
    made = shop.requests.writes("/v1/customers")
    assert [each.params.get("email") for each in made] == ["mary@example.com"]
    assert not shop.requests.to("DELETE")
    assert await home.parked() == 0
    moves = await home.moves()
    for _ in range(50):
        await asyncio.sleep(0.1)
        assert await home.moves() == moves


async def test_the_whole_story_with_two_of_everything_each_killed_once(
    database: str, tmp_path: Path, kafka_broker: Cluster
) -> None:
    log_url = f"kafka://{kafka_broker.bootstrap}"
    async with house(tmp_path, database, log_url, ingests=2, book=True) as home:
        for at in (0, 1):
            home.processes.role(f"sync-{at}", "sync")
            home.processes.role(f"connectors-{at}", "connectors", "--app", "stripe", "--app", "carddav")
        await asyncio.gather(*(process.start() for process in home.processes))
        await home.ready(*home.processes)
        await home.scanned()
        story = Story(home, kafka_broker.bootstrap)
        await everybody(story)
        await each_sync_dies_in_a_decision(story)
        await each_ingest_dies_with_webhooks_under_way(story)
        await each_connectors_dies_in_a_write(story)
        assert sorted(story.killed) == sorted(process.name for process in home.processes)
        await paused_beyond_its_session(story, "Katherine")
        await home.rest()
        await old_and_forged_webhooks_do_nothing(story)
        await a_card_becomes_a_customer(story)
        await an_address_waits_for_a_yes(story)
        await a_deletion_tags(story)
        await told(story)
