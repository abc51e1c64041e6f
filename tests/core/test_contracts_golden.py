"""Every message type as it was published once: its bytes are read for ever, and written alike as long as v stands."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from services.contracts.commands import Aim, Create, Find, Look, Tag, Untag, Update, Version
from services.contracts.contact import Address, Contact, Order, PersonName, Subscription
from services.contracts.envelope import (
    TYPES,
    Envelope,
    Headers,
    Message,
    Unreadable,
    from_headers,
    headers,
    seal,
    unseal,
)
from services.contracts.events import (
    ContactChanged,
    ContactDeleted,
    ContactMerged,
    ContactTouched,
    LookAnswer,
    ScanFinished,
    SubscriptionChanged,
)
from services.contracts.receipts import Absent, AccountBack, Found, Observation, Receipt, Written

GOLDEN = Path(__file__).parents[1] / "golden"
LINK = "3f0c8a52-8d0e-5a3c-9a3e-0b9d1c6d1a11"
AIM = Aim(
    link=LINK,
    side="right",
    version=Version(1, 7),
    connection="shop-office",
    config_version=3,
    account="office",
)
ORDER = Order(1790000000000000, 1790000001000000)
RAW = msgspec.Raw(b'{"id":"cus_1","object":"customer"}')
ADA = Contact(
    fields={
        "address": (Address(line1="12 St James's Square", city="London", postal_code="SW1Y 4JH", country="GB"),),
        "email": ("ada@example.com",),
        "name": ("Ada King",),
        "phone": (),
    },
    tags=("PieSync Trash",),
    mark=LINK,
    guard='"etag-1"',
)
NAME = (PersonName(prefix="Dr.", given="Ada", family="King"),)

MESSAGES: dict[str, Message] = {
    "contact.changed": ContactChanged(
        account="shop",
        contact_id="cus_1",
        order=ORDER,
        origin="webhook",
        contact=ADA,
        object=RAW,
        subscriptions=(Subscription(id="sub_1", status="active", plans=("price_pro", "prod_1")),),
        prior={"name": ("Ada Byron",)},
        label="contactsync-1",
        scan=4,
        look=LookAnswer(2, 1),
    ),
    "contact.deleted": ContactDeleted(
        account="office", contact_id="people/c1", order=ORDER, origin="feed", label="k", look=LookAnswer(1, 1)
    ),
    "contact.touched": ContactTouched(account="books", contact_id="58", origin="webhook"),
    "contact.merged": ContactMerged(account="books", contact_id="58", into="61", origin="webhook"),
    "subscription.changed": SubscriptionChanged(
        account="shop",
        contact_id="cus_1",
        order=ORDER,
        origin="webhook",
        subscription=Subscription(id="sub_1", status="canceled"),
        ended=True,
    ),
    "scan.finished": ScanFinished(account="shop", number=4, start=1790000000000000, count=1234),
    "command.create": Create(
        aim=AIM, fields={"n": NAME, "email": ("ada@example.com",)}, addresses=("ada@example.com",)
    ),
    "command.update": Update(
        aim=AIM,
        contact_id="card_1",
        fields={"n": NAME, "tel": ()},
        expected={"n": (), "tel": ("+12025550101",)},
        guard='"etag-1"',
        object=RAW,
    ),
    "command.tag": Tag(aim=AIM, contact_id="cus_1", tag="PieSync Trash", date="2026-11-22", guard="g", object=RAW),
    "command.untag": Untag(aim=AIM, contact_id="cus_1", tag="PieSync Trash", guard="g", object=RAW),
    "command.look": Look(account="shop", contact_id="cus_1", look=LookAnswer(2, 1)),
    "command.find": Find(account="office", address="ada@example.com", link=LINK, number=2),
    "receipt.write": Receipt(
        aim=AIM,
        outcome=Written(
            contact_id="card_1",
            seen=Observation(contact_id="card_1", order=ORDER, contact=ADA, object=RAW),
            looked=True,
            label="contactsync-1",
            ms=42,
        ),
    ),
    "receipt.found": Found(
        link=LINK, account="office", address="ada@example.com", number=2, contact_ids=("card_1", "card_2")
    ),
    "receipt.absent": Absent(link=LINK, account="office", address="ada@example.com", number=2),
    "receipt.account_back": AccountBack(account="office"),
}


def sealed(name: str) -> Envelope:
    return seal(
        MESSAGES[name],
        id=f"test:{name}",
        source="shop",
        subject="cus_1",
        time=datetime(2026, 11, 22, 12, 0, 1, 250000, tzinfo=UTC),
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )


def golden_headers(path: Path) -> Headers:
    rows = (line.partition(": ") for line in path.read_text(encoding="utf-8").splitlines())
    return tuple((name, value.encode()) for name, _, value in rows)


@pytest.mark.parametrize("name", sorted(TYPES))
def test_every_message_type_has_its_golden_file_and_example(name: str) -> None:
    v, struct = TYPES[name]
    assert isinstance(MESSAGES[name], struct)
    assert (GOLDEN / f"v{v}" / f"{name}.json").is_file()
    assert (GOLDEN / f"v{v}" / f"{name}.headers").is_file()


@pytest.mark.parametrize("name", sorted(TYPES))
def test_a_golden_message_is_read_as_it_was_meant(name: str) -> None:
    for folder in sorted(GOLDEN.iterdir()):
        body = folder / f"{name}.json"
        if body.is_file():
            envelope = from_headers(golden_headers(body.with_suffix(".headers")), body.read_bytes())
            assert isinstance(envelope, Envelope)
            assert (envelope.type, f"v{envelope.v}") == (name, folder.name)
            assert unseal(envelope) == MESSAGES[name]


@pytest.mark.parametrize("name", sorted(TYPES))
def test_a_message_is_written_byte_for_byte_as_its_golden_file(name: str) -> None:
    body = GOLDEN / f"v{TYPES[name][0]}" / f"{name}.json"
    envelope = sealed(name)
    assert envelope.data == body.read_bytes()
    assert headers(envelope) == golden_headers(body.with_suffix(".headers"))
    read = from_headers(golden_headers(body.with_suffix(".headers")), body.read_bytes())
    assert isinstance(read, Envelope)
    message = unseal(read)
    assert not isinstance(message, Unreadable)
    again = seal(
        message, id=read.id, source=read.source, subject=read.subject, time=read.time, traceparent=read.traceparent
    )
    assert again == read


def test_no_golden_file_is_of_a_type_that_nobody_knows() -> None:
    assert {body.stem for body in GOLDEN.glob("v*/*.json")} <= set(TYPES)
