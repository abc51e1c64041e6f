"""What is written is what is read."""

import asyncio
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from services.connectors.stripe.app import APP
from services.contracts.app import Seen
from services.contracts.commands import Create
from services.contracts.contact import Address, Fields
from tests.connectors.stripe_rig import AIM, LINK, Shop, update

words = st.text(string.ascii_letters + string.digits + " .,'-éß東🙂\n%&=+[]", min_size=1, max_size=20)
values = st.one_of(st.just(()), words.map(lambda word: (word,)))
addresses = st.builds(Address, **dict.fromkeys(("line1", "line2", "city", "state"), words), country=st.just("BE"))
keys = st.text(string.ascii_letters + string.digits + " ._-é", min_size=1, max_size=40)
contacts = st.fixed_dictionaries(
    {
        "name": values,
        "phone": values,
        "description": values,
        "business_name": values,
        "email": st.sampled_from([(), ("ada@x.org",), ("a+b@x.example",)]),
        "address": st.one_of(st.just(()), addresses.map(lambda each: (each,))),
    }
)
metadata = st.dictionaries(keys.map(lambda key: f"metadata.{key}"), values, max_size=4)


@settings(deadline=None, max_examples=60)
@given(first=contacts, more=metadata, second=contacts)
def test_fields_round_trip(first: Fields, more: Fields, second: Fields) -> None:
    async def run() -> None:
        async with Shop() as shop:
            made = await shop.written(Create(aim=AIM, fields={**first, **more}), "create")
            present = {path: values for path, values in more.items() if values}
            seen = await APP.look(shop.access(), made.contact_id)
            assert isinstance(seen, Seen)
            assert made.seen is not None
            named = first["name"] or first["business_name"]
            assert seen.contact.fields == made.seen.contact.fields == {**first, **present, "name": named}
            cleared = dict.fromkeys(present, ())
            changed = await shop.written(update(made.contact_id, {**second, **cleared}), "update")
            assert changed.seen is not None
            assert changed.seen.contact.fields == second
            assert changed.seen.contact.mark == LINK

    asyncio.run(run())
