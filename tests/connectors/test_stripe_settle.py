"""Finding out what became of a write, against Stripe's sandbox."""

from collections.abc import AsyncIterator

import pytest

from services.connectors.stripe.app import APP
from services.connectors.stripe.sandbox import Where
from services.contracts.app import Trouble
from services.contracts.receipts import Stale, Written
from services.runtime.app import Absence, Attempt, Undecided
from tests.connectors.stripe_rig import CUSTOMERS, Shop, create, tag, untag, update


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with Shop() as made:
        yield made


async def test_p4_settle_finds_the_create_by_address_and_mark(shop: Shop) -> None:
    command = create(name=("Ada",), email=("ada@x.org",), addresses=("other@x.org", "ada@x.org"))
    shop.customer(email="ada@x.org", name="somebody else's")
    made = await shop.written(command)
    shop.clock.advance(24 * 3600)
    settled = await APP.settle(shop.access(), command, Attempt(key="key-1", n=3, first=1))
    assert isinstance(settled, Written)
    assert (settled.contact_id, settled.looked, settled.replayed) == (made.contact_id, True, False)
    assert settled.seen is not None


async def test_p4_settle_finds_a_create_whose_address_was_changed_since(shop: Shop) -> None:
    command = create(name=("Ada",), email=("ada@x.org",), addresses=("ada@x.org",))
    attempt = shop.attempt(n=1)
    made = await shop.written(command)
    shop.box.dashboard.update(made.contact_id, email="new@x.org")
    for n in range(120):
        shop.customer(name=f"N{n}")
    shop.clock.advance(24 * 3600)
    settled = await APP.settle(shop.access(), command, attempt)
    assert isinstance(settled, Written)
    assert settled.contact_id == made.contact_id


async def test_p4_settle_proves_the_absence_of_a_create(shop: Shop) -> None:
    for command in (create(email=("ada@x.org",), addresses=("ada@x.org",)), create(name=("Ada",))):
        attempt = shop.attempt(n=1)
        shop.customer(email="ada@x.org")
        settled = await APP.settle(shop.access(), command, attempt)
        assert isinstance(settled, Undecided), "the request may still be at work"
        shop.clock.advance(settled.after)
        settled = await APP.settle(shop.access(), command, attempt)
        assert isinstance(settled, Absence)
    assert shop.box.requests.writes() == []


async def test_p4_where_creation_times_cannot_be_listed_the_addresses_decide(shop: Shop) -> None:
    shop.box.faults.fail(400, Where("GET", CUSTOMERS, times=None, skip=1), message="Unexpected created")
    command = create(email=("ada@x.org",), addresses=("ada@x.org",))
    assert isinstance(await APP.settle(shop.access(), command, shop.attempt(n=2)), Absence)
    undecided = await APP.settle(shop.access(), create(name=("Ada",)), shop.attempt(n=2))
    assert isinstance(undecided, Undecided)


async def test_p4_a_proof_that_fails_is_trouble(shop: Shop) -> None:
    for skip in (0, 1):
        shop.box.faults.broken(Where("GET", CUSTOMERS, skip=skip), status=503)
        command = create(email=("ada@x.org",), addresses=("ada@x.org",))
        assert isinstance(await APP.settle(shop.access(), command, shop.attempt(n=2)), Trouble)


@pytest.mark.parametrize(
    ("present", "expected"),
    [({"name": "new", "phone": "2"}, Written), ({"name": "old"}, Absence), ({"name": "third"}, Stale)],
)
async def test_p4_settle_compares_the_values_of_an_update(
    shop: Shop, present: dict[str, str], expected: type[Written | Absence | Stale]
) -> None:
    ada = shop.customer(**present)
    command = update(ada, {"name": ("new",)}, expected={"name": ("old",)})
    settled = await APP.settle(shop.access(), command, shop.attempt(n=1))
    assert isinstance(settled, expected)
    if isinstance(settled, Written | Stale):
        assert settled.seen is not None
        assert settled.seen.contact.fields["name"] == (present["name"],)


async def test_p4_settle_looks_for_the_tag(shop: Shop) -> None:
    ada = shop.customer(name="Ada")
    assert isinstance(await APP.settle(shop.access(), tag(ada), shop.attempt(n=1)), Absence)
    assert isinstance(await APP.settle(shop.access(), untag(ada), shop.attempt(n=1)), Written)
    await shop.written(tag(ada))
    assert isinstance(await APP.settle(shop.access(), tag(ada), shop.attempt(n=1)), Written)
    assert isinstance(await APP.settle(shop.access(), untag(ada), shop.attempt(n=1)), Absence)
