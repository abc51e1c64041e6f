"""What Stripe doesn't take, and how that is said."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from services.connectors.stripe.app import APP
from services.contracts.app import Trouble
from services.contracts.commands import Create
from services.contracts.contact import Fields, PersonName
from services.contracts.receipts import Refused
from tests.connectors.stripe_rig import ADDRESS, AIM, Shop, create, tag, update


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with Shop() as made:
        yield made


MANY: Fields = {f"metadata.k{n}": ("v",) for n in range(60)}


@pytest.mark.parametrize(
    ("fields", "paths", "code"),
    [
        ({"email": ("a" * 510 + "@x.org",)}, ("email",), "too_long"),
        ({"business_name": ("b" * 151,)}, ("business_name",), "too_long"),
        ({"metadata.k": ("v" * 501,)}, ("metadata.k",), "too_long"),
        ({"metadata." + "k" * 41: ("v",)}, ("metadata." + "k" * 41,), "metadata_key"),
        ({"metadata.a[b]": ("v",)}, ("metadata.a[b]",), "metadata_key"),
        ({"metadata.": ("v",)}, ("metadata.",), "metadata_key"),
        ({"metadata.contactsync_link": ("v",)}, ("metadata.contactsync_link",), "reserved"),
        ({"metadata.PieSync Trash": ()}, ("metadata.PieSync Trash",), "reserved"),
        ({"shipping": ("v",)}, ("shipping",), "field_unknown"),
        ({"name": ("a", "b")}, ("name",), "too_many_values"),
        ({"name": (PersonName(given="Ada"),)}, ("name",), "wrong_type"),
        ({"address": ("1 Quay",)}, ("address",), "wrong_type"),
        ({"name": ("\ud800",)}, ("name",), "encoding"),
        ({"name": ("a", "b"), "email": ("e" * 600,), "phone": ("1",)}, ("name", "email"), "too_many_values"),
    ],
)
async def test_d10_what_stripe_cannot_hold_is_refused_before_it_is_sent(
    shop: Shop, fields: Fields, paths: tuple[str, ...], code: str
) -> None:
    ada = shop.customer(name="Ada")
    for command in (Create(aim=AIM, fields={"description": ("d",), **fields}), update(ada, fields)):
        refused = await shop.write(command)
        assert isinstance(refused, Refused)
        assert (refused.fields, refused.code) == (paths, code)
        assert refused.reason.endswith(".")
    assert len(shop.box.requests) == 0


async def test_d10_too_many_metadata_keys_are_refused(shop: Shop) -> None:
    refused = await shop.write(Create(aim=AIM, fields=MANY))
    assert isinstance(refused, Refused)
    assert len(refused.fields) == 11
    assert len(shop.box.requests) == 0
    kept = {path: values for path, values in MANY.items() if path not in refused.fields}
    outcome = await shop.written(Create(aim=AIM, fields=kept))
    more = await shop.write(update(outcome.contact_id, {"metadata.more": ("v",)}), "key-2")
    assert isinstance(more, Refused)
    assert more.fields == ("metadata.more",)
    full = await shop.write(tag(outcome.contact_id), "key-3")
    assert isinstance(full, Refused)
    assert (full.fields, full.gone) == ((), False)


async def test_d10_what_stripe_refuses_names_the_field_and_no_value(shop: Shop) -> None:
    ada = shop.customer(name="Ada")
    for command in (create(name=("Ada",), email=("not-an-address",)), update(ada, {"email": ("not-an-address",)})):
        refused = await shop.write(command)
        assert isinstance(refused, Refused)
        assert (refused.fields, refused.code) == (("email",), "email_invalid")
        assert "not-an-address" not in refused.reason
        # Stripe keeps nothing under the key of a request that it refuses: the rest goes under the same one.
    assert not (await shop.written(create(name=("Ada",)))).replayed


@pytest.mark.parametrize(
    ("param", "paths"),
    [
        ("email", ("email",)),
        ("address[country]", ("address",)),
        ("metadata[k]", ("metadata.k",)),
        ("metadata", ("metadata.k", "metadata.l")),
        ("metadata[contactsync_link]", None),
        ("phone", None),
        ("tax_exempt", None),
        ("", None),
        (None, None),
    ],
)
async def test_d10_the_parameter_that_stripe_names_is_the_field(
    shop: Shop, param: str | None, paths: tuple[str, ...] | None
) -> None:
    error = {"type": "invalid_request_error", "message": "secret value", "param": param}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(400, json={"error": error}))
    fields: Fields = {"email": ("a@x.org",), "address": (ADDRESS,), "metadata.k": ("v",), "metadata.l": ("v",)}
    async with httpx2.AsyncClient(transport=transport) as http:
        access = shop.access(http=http)
        outcomes = [
            await APP.write(access, Create(aim=AIM, fields=fields), shop.attempt()),
            await APP.write(access, update("cus_1", fields), shop.attempt()),
        ]
    for outcome in outcomes:
        if paths is None:
            assert isinstance(outcome, Trouble)
            assert outcome.key == 400
        else:
            assert isinstance(outcome, Refused)
            assert (outcome.fields, outcome.gone) == (paths, False)
        assert "secret value" not in repr(outcome)


async def test_a_tag_that_could_not_be_read_again_is_refused(shop: Shop) -> None:
    ada = shop.customer(name="Ada")
    refused = await shop.write(tag(ada, "Friends"))
    assert isinstance(refused, Refused)
    assert len(shop.box.requests) == 0
