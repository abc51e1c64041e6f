"""B4: one decision with ten conditions and twenty-five mapping lines, beside the same by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from services.contracts.app import CustomFields
from services.contracts.commands import Create
from services.contracts.connection import Connection, MappingLine, Options
from services.contracts.contact import Address, Contact, Fields, Order, PersonName
from services.contracts.events import ContactChanged
from services.contracts.receipts import Observation, Receipt, Written
from services.contracts.rule import FieldIs, Rule
from services.sync.core.slice import Slice
from services.sync.core.take import take
from tests.bench import by_hand
from tests.bench.place import Bench, BrokenError
from tests.bench.rounds import peak, repeated, rounds
from tests.bench.row import Measured, Row, Target
from tests.core.bench import BOOK, SECOND, SHOP, START
from tests.core.bench import Bench as Core

CAUSE = (
    "in place, of the deciding itself the lines take a third (a third of that the one line that changed), the ten "
    "conditions, each told apart for `explain`, three tenths, bringing both sides what they lack a fifth (half of it "
    "the command), reasons, rules' levels and the journalled decision the rest; without the garbage collector it is "
    "as slow. By hand there are no holds, refusals, restored edits, tags, directions or reasons, and every path is "
    "written out."
)
CONDITIONS = (
    FieldIs(path="metadata.k0", operator="equals", values=("v0",)),
    FieldIs(path="metadata.k1", operator="one_of", values=("v1", "w1", "x1")),
    FieldIs(path="metadata.k2", operator="contains", values=("v2",)),
    FieldIs(path="metadata.k3", operator="starts_with", values=("v",)),
    FieldIs(path="metadata.k4", operator="ends_with", values=("4",)),
    FieldIs(path="metadata.k5", operator="not_equals", values=("nothing",)),
    FieldIs(path="metadata.k6", operator="is_not_empty"),
    FieldIs(path="metadata.k7", operator="greater", values=("3",)),
    FieldIs(path="metadata.k8", operator="less", values=("2027-01-01",)),
    FieldIs(path="email", operator="ends_with", values=("@example.com",)),
)
LINES = 5 + by_hand.CUSTOM
_SHOP = replace(SHOP, custom=CustomFields(prefix="metadata.", title="metadata key"))
_BOOK = replace(BOOK, custom=CustomFields(prefix="custom.", title="custom field"))
CONNECTION = Connection(
    name="shop-office",
    left="shop",
    right="office",
    options=Options(most_writes=0),
    rules=(Rule(source="left", conditions=CONDITIONS), Rule(source="right")),
    mappings=tuple(MappingLine(left=f"metadata.k{at}", right=f"custom.k{at}") for at in range(by_hand.CUSTOM)),
)
CUSTOM = {f"k{at}": f"v{at}" for at in range(by_hand.CUSTOM)} | {"k7": "42", "k8": "2026-11-23"}
STREET = {"line1": "12 St James's Square", "city": "London", "postal_code": "SW1Y 4JH", "country": "GB"}
BEFORE, AFTER = "+1 202 555 0101", "+1 202 555 0199"


def event(phone: str, *, at: float) -> ContactChanged:
    """The customer, seen `at` seconds after the start."""
    fields: Fields = {
        "name": ("Ada King",),
        "email": ("ada@example.com",),
        "phone": (phone,),
        "address": (Address(**STREET),),
        "description": ("Countess of Lovelace",),
        **{f"metadata.{key}": (value,) for key, value in CUSTOM.items()},
    }
    return ContactChanged(
        account="shop",
        contact_id="cus_1",
        order=_order(at),
        origin="webhook",
        contact=Contact(fields=fields),
        object=msgspec.Raw(msgspec.json.encode({"id": "cus_1", "phone": phone})),
    )


def card(phone: str) -> Contact:
    """The same person in the office's book."""
    fields: Fields = {
        "n": (PersonName(given="Ada", family="King"),),
        "email": ("ada@example.com",),
        "tel": (phone,),
        "adr": (Address(**STREET),),
        "note": ("Countess of Lovelace",),
        **{f"custom.{key}": (value,) for key, value in CUSTOM.items()},
    }
    return Contact(fields=fields)


def _order(at: float) -> Order:
    return Order(START + round(at * SECOND), START + round((at + 1) * SECOND))


def paired() -> Core:
    """The core, which knows the pair: both sides agree on all lines."""
    core = Core(connection=CONNECTION, manifests={"shop": _SHOP, "office": _BOOK})
    (create,) = core.take(event(BEFORE, at=0))
    if not isinstance(create, Create):
        raise BrokenError("the contact wasn't made")
    shown = Observation(
        contact_id="card_1", order=_order(1), contact=replace(card("+12025550101"), mark=create.aim.link)
    )
    core.take(Receipt(aim=create.aim, outcome=Written(contact_id="card_1", seen=shown)))
    (link,) = [link for link in core.state.links.values() if link.status != "ended"]
    if len(core.state.configs["shop-office"].lines) != LINES or len(link.base) != LINES or link.unsettled:
        raise BrokenError(f"the pair isn't in step on {LINES} lines")
    return core


def ours() -> Callable[[], object]:
    """Fold one event into a slice as loaded from the database, and decide."""
    known, changed = paired().state, event(AFTER, at=60)

    def work() -> object:
        state = Slice(
            now=START + 61 * SECOND,
            incarnation=1,
            configs=known.configs,
            manifests=known.manifests,
            scanned=known.scanned,
            records=dict(known.records),
            objects=dict(known.objects),
            links=dict(known.links),
            by_contact=dict(known.by_contact),
        )
        take(state, changed)
        if len(state.commands) != 1 or state.decisions[0].outcome != "update":
            raise BrokenError("the decision wasn't an update")
        return state

    return work


def hand() -> Callable[[], object]:
    """The same by hand."""
    customer: dict[str, Any] = {
        "name": "Ada King",
        "email": "ada@example.com",
        "phone": BEFORE,
        "address": STREET,
        "description": "Countess of Lovelace",
        "metadata": CUSTOM,
    }
    book = {
        "given": "Ada",
        "family": "King",
        "email": "ada@example.com",
        "tel": "+12025550101",
        "adr": STREET,
        "note": "Countess of Lovelace",
        "custom": CUSTOM,
    }
    left, right = by_hand.shop_form(customer), by_hand.book_form(book)
    link = {
        "id": "link",
        "left_id": "cus_1",
        "right_id": "card_1",
        "left": customer,
        "left_at": 0.0,
        "right": book,
        "base": {key: (left[key], right[key]) for key in left},
        "pending": {},
        "issued": 1,
        "status": "active",
    }
    changed = {**copy.deepcopy(customer), "phone": AFTER}

    def work() -> object:
        decided = by_hand.decide(link, changed, 60.0, START / SECOND + 61)
        if len(decided["writes"]) != 1:
            raise BrokenError("the decision by hand wasn't an update")
        return decided

    return work


async def rows(bench: Bench) -> list[Row]:
    """One row."""
    seconds = 0.15 if bench.quick else 1.0
    works = {"ours": ours(), "limit": hand()}
    runs = await rounds(bench.runs, **{name: repeated(work, seconds) for name, work in works.items()})
    return [
        Row(
            id="B4",
            workload=f"one decision: {len(CONDITIONS)} conditions, {LINES} mapping lines, one field changed",
            unit="µs per decision",
            ours=Measured(name="contactsync", runs=runs["ours"], memory=peak(works["ours"])),
            limit=Measured(name="the same by hand in plain Python", runs=runs["limit"], memory=peak(works["limit"])),
            target=Target(most=2.0),
            cause=CAUSE,
            notes=(
                "from the event to the command, the link's new state and the journalled decision, in memory",
                "processor time of one core; memory: the most that one decision has allocated at a time",
            ),
        )
    ]
