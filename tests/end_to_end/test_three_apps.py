"""A customer in Stripe, the same person in Google and in an address book, kept in step by two connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from services.ingest.cursor import scan_again
from tests.end_to_end.three_apps import CHANNEL_TOKEN, House, house

TRASH = "PieSync Trash"
CARD = "BEGIN:VCARD\r\nVERSION:3.0\r\nUID:grace\r\nFN:Grace Hopper\r\nN:Hopper;Grace;;;\r\nEMAIL:grace@example.com\r\n"


@pytest.fixture
async def home(database: str, tmp_path: Path) -> AsyncIterator[House]:
    async with house(database, tmp_path) as made:
        yield made


async def person(home: House, name: str = "Ada King", address: str = "ada@example.com") -> tuple[str, str]:
    """A customer that has arrived everywhere: its id, and its name at Google."""
    customer = home.shop.dashboard.create(name=name, email=address)["id"]

    async def arrived() -> bool:
        return address in home.people() and address in await home.cards()

    await home.until(arrived)
    await home.rest()
    return customer, home.people()[address]["resourceName"]


def metadata(home: House, customer: str) -> dict[str, str]:
    found: dict[str, str] = home.shop.customers[customer]["metadata"]
    return found


def shown(contact: dict[str, Any]) -> tuple[str, str]:
    return contact["names"][0]["displayName"], contact.get("phoneNumbers", [{"value": ""}])[0]["value"]


async def nothing_more(home: House) -> None:
    """Nothing is written anywhere when all three accounts are read anew."""
    await home.rest()
    before, cards = home.writes(), await home.cards()
    async with home.running.store.transaction() as database:
        for account in ("shop", "office", "book"):
            assert await scan_again(database, account)
    ended = "SELECT count(*) = 3 FROM ingest.cursor WHERE state = 'live' AND scan_number > 1"

    async def read() -> bool:
        return bool(await home.running.store.fetchval(ended))

    await home.until(read)
    await home.rest()
    assert (home.writes(), await home.cards()) == (before, cards)


async def test_a_customer_appears_once_in_each_and_an_edit_in_google_reaches_both_others(home: House) -> None:
    customer, contact = await person(home)
    assert len(home.customers()) == len(home.people()) == len(await home.cards()) == 1
    assert home.writes() == (0, 1)

    home.office.hand.update(
        contact, names=[{"givenName": "Ada", "familyName": "Lovelace"}], phoneNumbers=[{"value": "+12025550101"}]
    )

    async def in_the_book() -> bool:
        _, text = (await home.cards())["ada@example.com"]
        return "Lovelace" in text and "2025550101" in text

    await home.until(in_the_book)
    await home.rest()
    body = home.shop.customers[customer]
    assert (body["name"], body["phone"]) == ("Ada Lovelace", "+12025550101")
    assert home.writes() == (1, 1)
    assert len(home.customers()) == len(home.people()) == len(await home.cards()) == 1
    await nothing_more(home)


async def test_an_edit_in_the_book_reaches_google_through_stripe(home: House) -> None:
    customer, contact = await person(home)
    name, text = (await home.cards())["ada@example.com"]
    await home.book.put(name, text.replace("END:VCARD", "TEL:+12025550199\r\nEND:VCARD"))
    await home.until(lambda: shown(home.office.hand.get(contact)) == ("Ada King", "+12025550199"))
    await home.rest()
    assert home.shop.customers[customer]["phone"] == "+12025550199"
    assert home.writes() == (1, 2)
    await nothing_more(home)


async def test_those_who_are_there_already_are_paired_and_nobody_comes_twice(database: str, tmp_path: Path) -> None:
    async def seed(made: House) -> None:
        made.shop.dashboard.create(name="Grace Hopper", email="grace@example.com")
        made.shop.dashboard.create(name="Alan Turing", email="alan@example.com")
        made.office.hand.create("Grace@Example.com", "Grace Hopper")
        made.office.hand.create("edsger@example.com", "Edsger Dijkstra")
        await made.book.put("grace.vcf", CARD + "END:VCARD\r\n")

    async with house(database, tmp_path, seed=seed) as home:
        expected = {"grace@example.com", "alan@example.com", "edsger@example.com"}

        async def full() -> bool:
            return len(home.customers()) == len(home.people()) == len(await home.cards()) == 3

        await home.until(full)
        await home.rest()
        assert {body["email"].lower() for body in home.customers()} == expected
        assert {address.lower() for address in home.people()} == expected
        assert {address.lower() for address in await home.cards()} == expected
        await nothing_more(home)


async def test_p13_a_deletion_in_google_tags_the_customer_until_the_contact_is_back(home: House) -> None:
    customer, contact = await person(home)
    home.office.hand.delete(contact)
    await home.until(lambda: TRASH in metadata(home, customer))
    await home.rest()
    assert home.people() == {}
    assert len(await home.cards()) == 1
    assert not home.shop.requests.to("DELETE")
    await nothing_more(home)

    home.office.hand.restore(contact)
    await home.until(lambda: TRASH not in metadata(home, customer))
    await home.rest()
    assert len(home.customers()) == len(home.people()) == len(await home.cards()) == 1
    await nothing_more(home)


async def test_p13_with_both_deleted_the_tag_stays_until_both_are_back(home: House) -> None:
    customer, contact = await person(home)
    name, text = (await home.cards())["ada@example.com"]
    home.office.hand.delete(contact)
    await home.book.delete(name)
    await home.until(lambda: TRASH in metadata(home, customer))
    await home.rest()

    home.office.hand.restore(contact)
    await home.rest()
    assert TRASH in metadata(home, customer)
    await home.book.put(name, text)
    await home.until(lambda: TRASH not in metadata(home, customer))
    await home.rest()
    assert len(home.customers()) == len(home.people()) == len(await home.cards()) == 1
    await nothing_more(home)


async def test_p13_contacts_merged_by_hand_in_google_are_no_deletion(home: House) -> None:
    customer, contact = await person(home)
    other = home.office.hand.create("ada@other.example.com", "Ada K.")
    await home.until(lambda: len(home.customers()) == 2)
    await home.rest()
    both = [{"value": "ada@other.example.com"}, {"value": "ada@example.com"}]
    home.office.hand.update(other, emailAddresses=both)
    home.office.hand.delete(contact)
    await home.rest()
    assert TRASH not in metadata(home, customer)
    assert len(home.customers()) == 2
    await nothing_more(home)


async def test_p13_a_merge_that_google_shows_late_takes_the_tag_away_again(home: House) -> None:
    customer, contact = await person(home)
    other = home.office.hand.create("ada@other.example.com", "Ada K.")
    await home.until(lambda: len(home.customers()) == 2)
    await home.rest()
    home.office.hand.delete(contact)
    await home.until(lambda: TRASH in metadata(home, customer))
    both = [{"value": "ada@other.example.com"}, {"value": "ada@example.com"}]
    home.office.hand.update(other, emailAddresses=both)
    await home.until(lambda: TRASH not in metadata(home, customer))
    await nothing_more(home)
    assert (len(home.customers()), len(home.people()), len(await home.cards())) == (2, 1, 2)


async def test_a_push_brings_an_edit_though_the_next_poll_is_far_away(database: str, tmp_path: Path) -> None:
    async with house(database, tmp_path, poll="3600") as home:
        home.office.hand.create("ada@example.com", "Ada King")
        headers = {
            "x-goog-channel-id": "4ba78bf0-6a47-11e2-bcfd-0800200c9a66",
            "x-goog-channel-token": CHANNEL_TOKEN,
            "x-goog-resource-state": "exists",
        }
        async with httpx2.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"{home.base}/hooks/office", headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"received": 0})
        await home.until(lambda: [body["email"] for body in home.customers()] == ["ada@example.com"])

        async def in_the_book() -> bool:
            return list(await home.cards()) == ["ada@example.com"]

        await home.until(in_the_book)
