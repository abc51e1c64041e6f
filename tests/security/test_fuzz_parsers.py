"""Every parser that sees bytes from outside: whatever they are, the answer is what it declares, and it comes soon."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.connectors import discover
from services.connectors.bench import ACCOUNT
from services.connectors.carddav import dav, reading, vcard
from services.contracts.app import Delivery, Reading, Rejected, Wake
from services.contracts.contact import Order
from services.contracts.envelope import Envelope, Unreadable, from_headers, headers, seal, unseal
from services.ingest import hooks
from services.runtime.authorize.proof import Code, Denied, Foreign, answer, pasted, proof
from services.runtime.reach import networks
from services.runtime.registry.check import Checked, check, decoded
from services.runtime.registry.problem import Problem
from tests.conformance.benches import BENCHES
from tests.security.fuzz import TIMES, broken_json, damaged, each

APPS = discover()
MANIFESTS = {name: app.manifest for name, app in APPS.items()}
DOCUMENTS = sorted((Path(__file__).parents[2] / "docs").glob("*.md"))
CARD = """\
BEGIN:VCARD
VERSION:3.0
UID:1
N;CHARSET=UTF-8:Ågren;Zoë;;Dr.;
FN:Zoë Ågren
item1.EMAIL;TYPE=INTERNET,HOME:zoe@example.org
item1.X-ABLabel:_$!<HomePage>!$_
TEL;TYPE="cell,voice":+32 470 12 34 56
ADR;TYPE=WORK:;;1 Rue de l'Été\\, bis;Liège;;4000;Belgium
NOTE;ENCODING=QUOTED-PRINTABLE:a=0Ab=
 c
PHOTO;ENCODING=b:/9j/4AAQ
 SkZJRg==
CATEGORIES:one,two\\,three
END:VCARD
""".replace("\n", "\r\n").encode()
ANSWER = b"""<?xml version="1.0"?>
<multistatus xmlns="DAV:" xmlns:C="urn:ietf:params:xml:ns:carddav"><response><href>/ada/contacts/1.vcf</href><propstat>
<prop><getetag>"1"</getetag><C:address-data>BEGIN:VCARD&#13;
VERSION:3.0&#13;
FN:Zo&#235;&#13;
END:VCARD</C:address-data><resourcetype><collection/><C:addressbook/></resourcetype></prop>
<status>HTTP/1.1 200 OK</status></propstat></response><response><href>/ada/contacts/2.vcf</href>
<status>HTTP/1.1 404 Not Found</status></response><sync-token>http://radicale.org/ns/sync/0</sync-token></multistatus>"""
CONNECTIONS = """\
accounts:
  shop: {app: stripe, api_key: "${KEY}", webhook_secrets: ["${HOOK}", whsec_2]}
  ada: {app: carddav, url: https://dav.example/ada/, username: ada, password: x}
connections:
  shop-ada:
    left: shop
    right: ada
    direction: two_way
    winner: left
    options: {avoid_duplicates: true, sync_deletions: right_to_left}
    rules:
      - from: left
        if: [{subscribed_to: price_pro}, {field: metadata.product, equals: syncbox}]
        then: [{add_label: Customers}]
        undo: true
    mappings:
      - {left: metadata.product, right: note, direction: left_to_right}
      - {default: phone, enabled: false}
"""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Not a figure, a guard: what takes time that grows with the square of the input takes minutes here."""
    begun = time.process_time()
    yield
    assert time.process_time() - begun < seconds


def told(outcome: object) -> None:
    """A reader's answer is one of those that it declares, and everything in it can be sent on."""
    assert isinstance(outcome, tuple | Wake | Rejected)
    if isinstance(outcome, tuple):
        for each_one in outcome:
            assert isinstance(each_one, Reading)
            with contextlib.suppress(ValueError):  # ids that can't be ids: answered as a refusal
                message = hooks._sealed(each_one, "")
                assert isinstance(from_headers(message.headers, message.value), Envelope)


def readings(outcome: tuple[Reading, ...] | Wake | Rejected) -> tuple[Reading, ...]:
    return outcome if isinstance(outcome, tuple) else ()


@pytest.fixture
async def deliveries(tmp_path: Path) -> dict[str, list[tuple[Delivery, tuple[str, ...], float]]]:
    found = {}
    for name, opened in BENCHES.items():
        if name == "carddav":
            continue
        async with opened(tmp_path) as bench:
            found[name] = [(delivery, tuple(secrets), now) for delivery, secrets, now in bench.deliveries()]
    return found


def test_deliveries_bodies_are_read_or_rejected(
    deliveries: dict[str, list[tuple[Delivery, tuple[str, ...], float]]],
) -> None:
    for name, real in deliveries.items():
        app = APPS[name]
        assert real, name

        def one(draw: random.Random) -> None:
            delivery = draw.choice(real)[0]  # noqa: B023 - called in this round
            told(app.read(msgspec.structs.replace(delivery, body=broken_json(delivery.body, draw))))  # noqa: B023

        each(500, one)


def test_altered_deliveries_are_never_taken_for_genuine(
    deliveries: dict[str, list[tuple[Delivery, tuple[str, ...], float]]],
) -> None:
    for name, real in deliveries.items():
        app, accepted = APPS[name], 0

        def one(draw: random.Random) -> None:
            nonlocal accepted
            delivery, secrets, now = draw.choice(real)  # noqa: B023 - called in this round
            rows = list(delivery.headers)
            at = draw.randrange(len(rows))
            key, value = rows[at]
            match draw.randrange(4):
                case 0:
                    rows[at] = (key, damaged(value.encode("latin-1", "replace"), draw).decode("latin-1"))
                case 1:
                    del rows[at]
                case 2:
                    rows.insert(at, (key, value))
                case _:
                    rows[at] = (key, value.upper() if value.upper() != value else value + value)
            body = delivery.body if draw.random() < 0.5 else damaged(delivery.body, draw)
            changed = msgspec.structs.replace(delivery, headers=tuple(rows), body=body)
            verdict = app.verify(changed, secrets, now)  # noqa: B023
            assert verdict is None or isinstance(verdict, Rejected)
            told(app.read(changed))  # noqa: B023
            # Google's channels sign nothing: a delivery is as good as its token.
            accepted += verdict is None and changed.body != delivery.body and not delivery.header("x-goog-channel-id")

        each(500, one)
        assert accepted == 0, name


@settings(max_examples=200 * TIMES, deadline=None)
@given(st.binary(max_size=400), st.lists(st.tuples(st.text(max_size=30), st.text(max_size=80)), max_size=6), st.data())
def test_deliveries_of_anything_are_rejected(body: bytes, rows: list[tuple[str, str]], data: st.DataObject) -> None:
    app = APPS[data.draw(st.sampled_from(sorted(set(APPS) - {"carddav"})))]
    names = st.sampled_from(["stripe-signature", "intuit-signature", "authorization", "x-goog-channel-token"])
    delivery = Delivery(
        account=ACCOUNT, headers=(*((data.draw(names), value) for _, value in rows), *rows), body=body, received=0
    )
    assert isinstance(app.verify(delivery, ("whsec_x", "pubsub:a@b.example:aud", "t" * 20), 0.0), Rejected)
    told(app.read(delivery))


def test_cards_are_read_or_broken() -> None:
    order = Order(1, 1)

    def one(draw: random.Random) -> None:
        raw = damaged(CARD, draw)
        found = vcard.decode(raw)
        assert isinstance(found, vcard.Card | vcard.Broken)
        stored = reading.stored("/ada/1.vcf", '"1"', raw, order)
        assert isinstance(stored, reading.Stored | vcard.Broken)
        msgspec.json.encode(stored)

    each(1500, one)


@settings(max_examples=200 * TIMES, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200))
def test_cards_of_anything_are_read_or_broken(raw: str | bytes) -> None:
    body = f"BEGIN:VCARD\n{raw}\nEND:VCARD" if isinstance(raw, str) else b"BEGIN:VCARD\n" + raw + b"\nEND:VCARD"
    for text in (raw, body):
        assert isinstance(reading.stored("/1", None, text, Order(1, 1)), reading.Stored | vcard.Broken)


@pytest.mark.parametrize(
    "card",
    [
        "TEL" + ";" * 200_000 + ":1",
        'TEL;X="' + "a" * 500_000,
        "N:" + "\\" * 500_001,
        "ADR:" + ";" * 500_000,
        "NOTE;ENCODING=QUOTED-PRINTABLE:" + "=\n" * 200_000,
        "NOTE:a" + "\n b" * 200_000,
        "AGENT:\n" + "BEGIN:VCARD\n" * 100_000,
        "CATEGORIES:" + "," * 500_000,
        ".." * 300_000 + ":1",
    ],
    ids=lambda card: card[:20],
)
def test_large_cards_take_no_longer_than_their_size(card: str) -> None:
    with within(10):
        found = reading.stored("/1", None, f"BEGIN:VCARD\nVERSION:3.0\nFN:x\n{card}\nEND:VCARD\n", Order(1, 1))
    assert isinstance(found, reading.Stored | vcard.Broken)


def test_webdavs_answers_are_read_or_none() -> None:
    def one(draw: random.Random) -> None:
        found = dav.multistatus(damaged(ANSWER, draw))
        assert found is None or isinstance(found, dav.Multistatus)

    each(1500, one)
    assert dav.multistatus(ANSWER) is not None


BOMBS = {
    "entities in entities": b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>"
    + b"".join(b"<!ENTITY %c '%s'>" % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(20))
    + b"]>",
    "one large entity": b"<!DOCTYPE x [<!ENTITY a '" + b"a" * 100_000 + b"'>]>",
    "a file": b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>",
    "an address": b"<!DOCTYPE x SYSTEM 'http://169.254.169.254/x.dtd' [<!ENTITY % p SYSTEM 'http://127.0.0.1/'> %p;]>",
    "attributes": b"<!DOCTYPE x [<!ATTLIST multistatus a CDATA 'b'>]>",
}


@pytest.mark.parametrize("name", BOMBS)
def test_no_entity_is_expanded(name: str) -> None:
    body = BOMBS[name] + b"<multistatus xmlns='DAV:'><sync-token>" + b"&a;" * 100_000 + b"</sync-token></multistatus>"
    with within(2):
        assert dav.multistatus(body) is None


@pytest.mark.parametrize(
    "body",
    [
        b"<a xmlns='DAV:'>" * 200_000,
        b"<multistatus xmlns='DAV:' " + b" ".join(b"a%d='%d'" % (n, n) for n in range(100_000)) + b"/>",
        b"<multistatus xmlns='DAV:'>" + b"<response/>" * 200_000 + b"</multistatus>",
        b"<multistatus xmlns='DAV:'><sync-token>" + b"x" * 8_000_000 + b"</sync-token></multistatus>",
        b"<" + b"a" * 4_000_000,
        b"<?xml version='1.0' encoding='utf-7'?><multistatus xmlns='DAV:'/>",
        b"<?xml version='1.0' encoding='utf-16'?><multistatus xmlns='DAV:'/>",
    ],
    ids=lambda body: body[:30].decode(),
)
def test_large_answers_of_webdav_take_no_longer_than_their_size(body: bytes) -> None:
    with within(10):
        found = dav.multistatus(body)
    assert found is None or isinstance(found, dav.Multistatus)


def test_connections_files_are_told_what_is_wrong() -> None:
    # What the docs show is worth damaging, too.
    blocks = [
        block.partition("\n")[2]
        for page in DOCUMENTS
        for block in page.read_text().split("```")[1::2]
        if block.startswith("yaml")
    ]
    samples = [text.encode() for text in (CONNECTIONS, *blocks)]

    def one(draw: random.Random) -> None:
        found = decoded(damaged(draw.choice(samples), draw))
        if isinstance(found, str):
            assert isinstance(check(found, MANIFESTS, {"KEY": "rk_test_1"}), Checked)
        else:
            assert isinstance(found, Problem)

    each(150, one)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{c}: &{c} [{','.join(['*' + chr(ord(c) - 1)] * 9)}]\n" for c in "bcdefghij"),
        "[" * 20_000,
        "{a: " * 20_000,
        "accounts: !!python/object/apply:os.system ['exit 1']",
        "accounts: !!binary ////\nconnections: !!timestamp 2001-01-01",
        "accounts: {a: &a {b: *a}}",
        "? " * 5_000,
        "%YAML 1." + "9" * 5_000,
        "accounts: " + "9" * 5_000,
    ],
    ids=lambda text: text[:24],
)
def test_a_hostile_connections_file_is_told_what_is_wrong(text: str) -> None:
    with within(10):
        checked = check(text, MANIFESTS, {})
    assert checked.config is None
    assert checked.problems


def test_records_of_the_log_are_read_or_unreadable(
    deliveries: dict[str, list[tuple[Delivery, tuple[str, ...], float]]],
) -> None:
    at = datetime(2026, 11, 22, tzinfo=UTC)
    envelopes = [
        seal(one_reading.event, id="x", source="y", subject="z", time=at)
        for name, real in deliveries.items()
        for delivery, _, _ in real
        for one_reading in readings(APPS[name].read(delivery))
    ]
    assert envelopes

    def one(draw: random.Random) -> None:
        envelope = draw.choice(envelopes)
        rows = [(key, damaged(value, draw) if draw.random() < 0.2 else value) for key, value in headers(envelope)]
        if draw.random() < 0.3:
            del rows[draw.randrange(len(rows))]
        found = from_headers(rows, None if draw.random() < 0.05 else broken_json(envelope.data, draw))
        assert isinstance(found, Envelope | Unreadable)
        if isinstance(found, Envelope):
            message = unseal(found)
            if not isinstance(message, Unreadable):
                msgspec.json.encode(message)

    each(1000, one)


@settings(max_examples=200 * TIMES, deadline=None)
@given(st.text(max_size=300))
def test_what_a_browser_brings_is_an_answer_or_foreign(text: str) -> None:
    made = proof(b"v" * 32, b"s" * 32)
    for query in (text, f"state={made.state}&{text}", f"state={made.state}&code={text}&x=%ff%00"):
        assert isinstance(answer(query, made), Code | Denied | Foreign)
        assert isinstance(pasted(f"http://127.0.0.1:1/?{query}", made), Code | Denied | Foreign)
    with contextlib.suppress(ValueError):
        networks(text)
