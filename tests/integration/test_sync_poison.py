"""Messages that can't be read or kept are set aside with their reason, and stop nothing; people's texts are none."""

from __future__ import annotations

import random
import string
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

import msgspec
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.contracts.commands import Aim, Create, Version
from services.contracts.contact import Address, Contact, Fields, PersonName
from services.contracts.envelope import derived
from services.contracts.events import ContactChanged, ContactTouched
from services.contracts.receipts import Absent, Deferred, Found, Receipt, Refused, Unknown
from services.runtime.log import EVENTS, PARKED, RECEIPTS
from services.runtime.log import Message as Posted
from services.runtime.log.poison import LEAST, PoisonedError
from services.runtime.store import Store
from services.sync.relay import Relay
from tests.core.bench import order
from tests.integration.sync_messages import changed, deleted, message, of, one, raw, shop, written
from tests.integration.sync_rig import Rig, drained, rig, workers

BODY = b'{"account":"shop","contact_id":"x","order":[1,2],"origin":"webhook","contact":{}}'
LONG = "".join(random.Random(7).choices(string.ascii_lowercase + string.digits, k=6000)) + "@example.com"
DEEP = b"[" * 50_000 + b"]" * 50_000
AIM = Aim(
    link=derived("link", "none"),
    side="left",
    version=Version(1, 1),
    connection="pair",
    config_version=1,
    account="shop",
)

UNREADABLE = {
    "no headers at all": Posted(key=b"k", headers=(), value=b"{}"),
    "a header that isn't UTF-8": Posted(key=b"k", headers=(("ce_id", b"\xff\xfe"),), value=b"{}"),
    "a header with a NUL": Posted(key=b"k", headers=(("ce_id", b"a\x00b"),), value=b"{}"),
    "a header's name with a NUL": Posted(key=b"k", headers=(("a\x00b", b"1"),), value=b"{}"),
    "an unknown type": raw("contact.vanished", BODY),
    "an unknown type with a NUL": raw("contact.\x00", BODY),
    "a later version": raw("contact.changed", BODY, v=2),
    "an earlier version": raw("contact.changed", BODY, v=0),
    "a version without end": Posted(
        key=b"k", headers=(*raw("contact.changed", BODY).headers, ("ce_v", b"9" * 5000)), value=BODY
    ),
    "an empty body": raw("contact.changed", b""),
    "no JSON": raw("contact.changed", b"{"),
    "another form": raw("contact.changed", b'{"account":1}'),
    "no text": raw("contact.changed", BODY.replace(b'"x"', b'"\xff\xfe"')),
    "half a character": raw("contact.changed", BODY.replace(b'"x"', b'"\\ud800"')),
    "depths": raw("contact.changed", DEEP),
    "depths in the app's own object": raw("contact.changed", BODY[:-1] + b',"object":' + DEEP + b"}"),
    "a command among the events": raw("command.look", b'{"account":"shop","contact_id":"x","look":[1,1]}'),
}
UNKEEPABLE = {
    "a NUL in the contact's id": message(changed("shop", "a\x00b", shop("A", "a@example.com"))),
    "a NUL in the event's id": message(changed("shop", "a", shop("A", "a@example.com")), id="a\x00b"),
    "a NUL in the account": message(changed("sh\x00op", "a", shop("A", "a@example.com"))),
    "an id beyond what an index holds": message(changed("shop", LONG, shop("A", "a@example.com"))),
    "a moment beyond all time": raw("contact.changed", BODY.replace(b"[1,2]", b"[1,99999999999999999999999]")),
    "a scan beyond all numbers": raw("contact.changed", BODY[:-1] + b',"scan":99999999999999999999999}'),
    "a scan's end beyond all numbers": raw(
        "scan.finished", b'{"account":"shop","number":99999999999999999999,"start":1,"count":1}'
    ),
    "a scan's end of an account with a NUL": raw(
        "scan.finished", b'{"account":"a\\u0000b","number":1,"start":1,"count":1}'
    ),
    "a link's id that is none": message(
        Receipt(aim=msgspec.structs.replace(AIM, link="nonsense"), outcome=Deferred(reason="account"))
    ),
    "a find's link that is none": message(Absent(link="nonsense", account="shop", address="a@example.com", number=1)),
}
HARMLESS = {
    "a receipt for a link that isn't known": message(Receipt(aim=AIM, outcome=Refused(reason="no"))),
    "an unknown outcome for a link that isn't known": message(Receipt(aim=AIM, outcome=Unknown(reason="?", since=1))),
    "an answer to nobody": message(
        Found(link=AIM.link, account="shop", address="a@x.org", number=1, contact_ids=("q",))
    ),
    "an account that isn't known": message(changed("nobody's", "a", shop("A", "a@example.com"))),
    "a touched contact": message(ContactTouched(account="shop", contact_id="t", origin="webhook")),
    "a deletion of nobody": message(deleted("shop", "never-seen", at=1)),
}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Tracebacks of poison are drawn with everything in them unless logging is set up; drawing takes seconds."""
    with structlog.testing.capture_logs():
        yield


async def parked(made: Rig) -> list[tuple[str, int, str]]:
    rows = await made.store.fetch("SELECT topic, position, reason FROM sync.parked ORDER BY topic, position")
    return [(row["topic"], row["position"], row["reason"]) for row in rows]


FORGET = ";".join(
    f"DELETE FROM sync.{table}"  # noqa: S608 - our tables
    for table in (
        "contact", "contact_address", "link", "reservation", "address", "wake", "outbox", "parked", "journal", "inbox"
    )
)  # fmt: skip


@pytest.fixture
async def standing(store: Store) -> AsyncIterator[Rig]:
    async with rig(store) as made:
        yield made


async def amid_others(made: Rig, poison: Sequence[Posted]) -> list[int]:
    """The messages come in one batch with healthy ones before, between and after them; returns their positions."""
    owner = await made.own()
    first = owner.position
    batch = [message(changed("shop", "cus-0", shop("P", "p0@example.com")))]
    for at, each in enumerate(poison, 1):
        batch += [each, message(changed("shop", f"cus-{at}", shop("P", f"p{at}@example.com")))]
    await owner.take(*batch)
    healthy = {create.addresses for create in of(await made.commands(), Create)}
    assert healthy >= {(f"p{at}@example.com",) for at in range(len(poison) + 1)}
    return list(range(first + 1, first + len(batch), 2))


async def test_what_cannot_be_read_is_parked_with_its_reason(standing: Rig) -> None:
    told = "DELETE FROM log.record WHERE topic = $1 RETURNING key, value"
    for kind, poison in UNREADABLE.items():
        await standing.store.execute(FORGET)
        (at,) = await amid_others(standing, [poison])
        ((topic, position, reason),) = await parked(standing)
        assert (topic, position) == (EVENTS, at), kind
        assert reason, kind
        while await Relay(standing.store, standing.log).move():
            continue
        rows = await standing.store.fetch(told, PARKED)
        assert [(row["key"], row["value"]) for row in rows] == [(poison.key, poison.value)], kind


async def test_what_cannot_be_kept_is_parked_with_its_reason(standing: Rig) -> None:
    for kind, poison in UNKEEPABLE.items():
        await standing.store.execute(FORGET)
        (at,) = await amid_others(standing, [poison])
        ((topic, position, reason),) = await parked(standing)
        assert (topic, position) == (EVENTS, at), kind
        assert reason, kind


async def test_all_of_it_in_one_batch_is_parked_and_nothing_else(standing: Rig) -> None:
    places = await amid_others(standing, [*UNREADABLE.values(), *UNKEEPABLE.values()])
    assert [position for _, position, _ in await parked(standing)] == places


async def test_what_concerns_nobody_passes_by(standing: Rig) -> None:
    for kind, message_ in HARMLESS.items():
        await standing.store.execute(FORGET)
        await amid_others(standing, [message_])
        assert not await parked(standing), kind


async def test_poison_parked_once_is_parked_once(store: Store, eventually: Callable[..., Awaitable[None]]) -> None:
    async with rig(store) as made:
        await made.log.publish(EVENTS, [raw("contact.vanished", BODY)])
        for _ in range(2):
            await store.execute("UPDATE sync.progress SET next_offset = 0")
            async with workers(made, 1):
                await eventually(lambda: drained(made))
        assert len(await parked(made)) == 1


async def test_a_topic_that_is_mostly_unreadable_stops_the_worker_and_nothing_is_lost(standing: Rig) -> None:
    owner = await standing.own()
    healthy = message(changed("shop", "cus", shop("Ada", "ada@example.com")))
    for _ in range(LEAST):
        await owner.take(raw("contact.vanished", BODY))
    with pytest.raises(PoisonedError, match=EVENTS):
        await owner.take(raw("contact.vanished", BODY), healthy)
    assert len(await parked(standing)) == LEAST
    again = await standing.own()
    assert again.position == LEAST


async def test_many_unreadable_messages_among_more_readable_ones_are_just_parked(standing: Rig) -> None:
    owner = await standing.own()
    for at in range(2 * LEAST):
        card = message(changed("shop", f"cus-{at}", shop("Ada", f"ada{at}@example.com")))
        await owner.take(card, raw("contact.vanished", BODY))
    assert len(await parked(standing)) == 2 * LEAST


async def test_a_reason_with_a_nul_is_journalled(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        await events.take(changed("shop", "cus", shop("Ada", "ada@example.com")))
        create = one(await made.drain(), Create)
        await receipts.take(Receipt(aim=create.aim, outcome=Unknown(reason="odd \x00 answer", since=1)))
        await receipts.take(Receipt(aim=create.aim, outcome=Refused(reason="odd \x00 answer")))
        assert not await parked(made)
        assert not (await made.link()).unsettled


ADDRESSES = {
    "longer than an index holds": (LONG,),
    "with a NUL": ("a\x00b@example.com",),
    "three hundred": tuple(f"a{at}@example.com" for at in range(300)),
    "the same in many spellings": ("Ada@Example.com", "ADA@EXAMPLE.COM", " ada@example.com "),
    "none that is one": ("", " ", "@", "no address", "a b@example.com"),
    "of another script": ("straße@bücher.example", "ΜΕΣΟΣ@example.com", "用户@例子.公司"),
}


async def test_odd_addresses_are_taken_in(standing: Rig) -> None:
    for kind, addresses in ADDRESSES.items():
        await standing.store.execute(FORGET)
        events = await standing.own()
        card: Fields = {"n": (PersonName(given="Ada"),), "email": addresses}
        await events.take(changed("office", "card", card), changed("shop", "next", shop("N", "n@example.com")))
        await events.take(changed("shop", "cus", {"name": ("Ada",), "email": addresses[-1:]}, at=10))
        await standing.sweep()
        assert not await parked(standing), kind
        assert (await standing.counts())["contact"] == 3, kind


async def test_a_note_of_a_megabyte_goes_through(store: Store) -> None:
    async with rig(store) as made:
        events, receipts = await made.own(), await made.own(RECEIPTS)
        note = "ä" * 1_000_000
        await events.take(changed("shop", "cus", shop("Ada", "ada@example.com", description=note)))
        create = one(await made.drain(), Create)
        assert create.fields["note"] == (note,)
        await receipts.take(written(create, at=10))
        assert (await made.link()).status == "active"


MARKS = {
    "no uuid": "not a uuid",
    "a NUL": "\x00",
    "another installation's": derived("link", "elsewhere"),
    "another spelling": derived("link", "elsewhere").upper(),
    "empty": "",
    "very long": "f" * 100_000,
}


async def test_odd_marks_are_no_reason_not_to_sync(standing: Rig) -> None:
    for kind, mark in MARKS.items():
        await standing.store.execute(FORGET)
        events = await standing.own()
        await events.take(changed("shop", "cus", shop("Ada", "ada@example.com"), mark=mark))
        await events.take(changed("shop", "cus", shop("Eve", "ada@example.com"), mark=mark, at=10))
        assert not await parked(standing), kind
        assert len(of(await standing.commands(), Create)) == 1, kind


async def test_a_mark_of_ours_in_another_spelling_is_ours(store: Store) -> None:
    async with rig(store) as made:
        events, others = await made.own(), await made.own(EVENTS, 1)
        await events.take(changed("shop", "cus", shop("Ada", "ada@example.com")))
        create = one(await made.drain(), Create)
        fields: Fields = {"n": (PersonName(given="Ada"),), "email": ("else@example.com",)}
        await others.take(changed("office", "card", fields, mark=create.aim.link.upper()))
        assert not of(await made.commands(), Create)


TEXT = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    ["\x00", "\u2028", "\ufeff", "a" * 3000, "\U0010ffff"]
)
MAIL = (
    TEXT | st.builds("{}@{}".format, TEXT, TEXT) | st.sampled_from(["a@example.com", "b@example.com", "A@EXAMPLE.COM"])
)
VALUE = (
    TEXT
    | st.builds(PersonName, prefix=TEXT, given=TEXT, middle=TEXT, family=TEXT, suffix=TEXT, full=TEXT)
    | st.builds(Address, line1=TEXT, city=TEXT, state=TEXT, postal_code=TEXT, country=TEXT)
)
PATHS = st.sampled_from(["name", "n", "phone", "tel", "address", "adr", "description", "note", "other"])
FIELDS = st.dictionaries(PATHS, st.lists(VALUE, max_size=3).map(tuple), max_size=5)
CONTACT = st.builds(
    lambda fields, mails, tags, mark, guard: Contact(
        fields={**fields, "email": tuple(mails)}, tags=tuple(sorted(tags)), mark=mark, guard=guard
    ),
    FIELDS,
    st.lists(MAIL, max_size=4),
    st.lists(TEXT, max_size=2),
    st.none() | TEXT,
    st.none() | TEXT,
)
SIGHTS = st.lists(st.tuples(st.sampled_from(["shop", "office"]), st.integers(0, 2), CONTACT), min_size=1, max_size=8)


@given(batches=st.lists(SIGHTS, min_size=1, max_size=3))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
async def test_whatever_people_write_is_taken_in(standing: Rig, batches: list[list[tuple[str, int, Contact]]]) -> None:
    made = standing
    await made.store.execute(FORGET)
    events = await made.own()
    for at, batch in enumerate(batches):
        seen = [
            ContactChanged(
                account=account,
                contact_id=f"c{number}",
                order=order(100 * at + 10 * turn),
                origin="webhook",
                contact=contact,
            )
            for turn, (account, number, contact) in enumerate(batch)
        ]
        # Inbox and progress go on from example to example; ids are new each time.
        await events.take(*seen)
        await made.sweep()
    assert not await parked(made)
    known = await made.store.fetchval("SELECT count(*) FROM sync.contact")
    assert known == len({(account, number) for batch in batches for account, number, _ in batch})
