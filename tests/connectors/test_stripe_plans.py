"""The plans of a Stripe account: its prices, sold or not, and what happens where they can't be listed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from services.connectors.stripe.plans import PAGES, PLANS
from services.connectors.stripe.sandbox.fault import Where
from services.contracts.app import Trouble
from services.runtime.app import Catalog, Plan, Sells
from tests.connectors.stripe_rig import KEY, Shop


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with Shop() as made:
        yield made


async def price(shop: Shop, **more: str) -> dict[str, Any]:
    made = await shop.http.post(
        "http://stripe.test/v1/prices",
        data={"currency": "eur", "unit_amount": "100", "product_data[name]": "Syncbox", **more},
        headers={"Authorization": f"Bearer {KEY}"},
    )
    return dict(made.raise_for_status().json())


async def listed(shop: Shop) -> Catalog:
    catalog = await PLANS.plans(shop.access())
    assert isinstance(catalog, Catalog), catalog
    return catalog


async def test_b3_prices_are_listed_with_all_that_a_rule_may_call_them_by_sold_or_not(shop: Shop) -> None:
    assert isinstance(PLANS, Sells)
    pro = await price(shop, lookup_key="pro", nickname="Pro, monthly")
    old = await price(shop, active="false")
    assert await listed(shop) == Catalog(
        plans=(
            Plan(price=pro["id"], product=pro["product"], lookup_key="pro", title="Pro, monthly"),
            Plan(price=old["id"], product=old["product"], title="Syncbox"),
        ),
        whole=True,
    )
    assert [request.method for request in shop.box.requests if request.path == "/v1/prices"][2:] == ["GET", "GET"]


async def test_b3_a_long_list_is_read_page_by_page_and_a_very_long_one_is_cut_short(shop: Shop) -> None:
    catalog = shop.box.catalog
    product = (await price(shop))["product"]
    template = next(iter(catalog.prices.values()))
    for n in range(120):
        catalog.prices.put({**template, "id": f"price_{n}", "product": product})
    short = await listed(shop)
    assert (len(short.plans), short.whole) == (121, True)
    for n in range(120, 100 * PAGES):
        catalog.prices.put({**template, "id": f"price_{n}", "product": product})
    before = len(shop.box.requests)
    cut = await listed(shop)
    assert (len(cut.plans), cut.whole) == (100 * PAGES, False)
    assert len(shop.box.requests) - before == PAGES + 1


async def test_b3_a_permission_that_the_key_lacks_is_named(shop: Shop) -> None:
    shop.box.faults.fail(403, Where("GET", "/v1/prices", times=None), message="No.")
    refused = await PLANS.plans(shop.access())
    assert isinstance(refused, Trouble)
    assert refused.detail.startswith("The key lacks Prices: Read, which only this question needs")


async def test_b3_without_the_permission_for_products_plans_go_without_their_names(shop: Shop) -> None:
    await price(shop, lookup_key="pro")
    shop.box.faults.fail(403, Where("GET", "/v1/prices", times=1), message="No.")
    (plan,) = (await listed(shop)).plans
    assert plan.product.startswith("prod_")
    assert (plan.lookup_key, plan.title) == ("pro", "")


async def test_b3_a_key_that_is_no_good_and_a_server_that_has_no_prices_are_said(shop: Shop) -> None:
    refused = await PLANS.plans(shop.access("sk_test_other"))
    assert isinstance(refused, Trouble)
    assert "The API key is wrong, expired or revoked" in refused.detail
    for status, body in ((404, "<html>"), (200, "<html>"), (200, '{"data": [{"id": 5}]}')):
        transport = httpx2.MockTransport(lambda _, answer=(status, body): httpx2.Response(answer[0], text=answer[1]))
        async with httpx2.AsyncClient(transport=transport) as http:
            answer = await PLANS.plans(shop.access(http=http))
        assert isinstance(answer, Trouble)
        assert "api_base" in answer.detail
