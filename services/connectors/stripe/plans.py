"""The plans of an account: its prices, with what a rule's `subscribed_to` may call them by (SEMANTICS B3).

https://docs.stripe.com/api/prices/list: without `active`, only prices still sold are listed, and prices made along with
a subscription never are. The latter are known from the subscriptions themselves.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from services.connectors.stripe.client import Answer, ask
from services.connectors.stripe.error import ErrorAnswer, unreadable
from services.connectors.stripe.lookup import LIMIT
from services.connectors.stripe.permissions import DASHBOARD
from services.contracts.app import Trouble
from services.runtime.app import Access, Catalog, Plan, Sells

PRICES = "/v1/prices"
PAGES = 5
"""Of each list, those sold and those no longer sold: ten requests at most, against 25 a second that Stripe allows."""


class _Product(msgspec.Struct, frozen=True):
    id: str = ""
    name: str | None = None


class _Price(msgspec.Struct, frozen=True):
    id: str
    product: str | _Product | None = None
    lookup_key: str | None = None
    nickname: str | None = None

    def plan(self) -> Plan:
        product = self.product if isinstance(self.product, _Product) else _Product(id=self.product or "")
        return Plan(
            price=self.id,
            product=product.id,
            lookup_key=self.lookup_key or "",
            title=self.nickname or product.name or "",
        )


class _Listed(msgspec.Struct, frozen=True):
    data: tuple[_Price, ...]
    has_more: bool = False


class StripePlans:
    """Lists prices. Holds nothing."""

    async def plans(self, access: Access) -> Catalog | Trouble:
        """List the prices that are sold, then those no longer sold, each newest first, up to 500."""
        found: dict[str, Plan] = {}
        whole = True
        expand = ["data.product"]
        for active in ("true", "false"):
            after: dict[str, str] = {}
            for _ in range(PAGES):
                answer = await _page(access, active, after, expand)
                if answer == "forbidden" and expand:
                    # The names of products, for suggestions, need a permission of their own: go without.
                    expand = []
                    answer = await _page(access, active, after, expand)
                if answer == "forbidden":
                    return Trouble(
                        key=403,
                        detail=f"The key lacks Prices: Read, which only this question needs ({DASHBOARD}).",
                    )
                if isinstance(answer, Trouble):
                    return answer
                found |= {price.id: price.plan() for price in answer.data}
                if not answer.has_more or not answer.data:
                    break
                after = {"starting_after": answer.data[-1].id}
            else:
                whole = False
        return Catalog(plans=tuple(found.values()), whole=whole)


async def _page(
    access: Access, active: str, after: dict[str, str], expand: list[str]
) -> _Listed | Trouble | Literal["forbidden"]:
    params: dict[str, Any] = {"active": active, "limit": LIMIT, **after}
    if expand:
        params["expand"] = expand
    match await ask(access, "get", PRICES, params):
        case Answer() as answer:
            listed = answer.decoded(_Listed)
            return listed if isinstance(listed, _Listed) else unreadable()
        case ErrorAnswer(status=403):
            return "forbidden"
        case ErrorAnswer() as refused:
            return refused.trouble()
        case Trouble() as trouble:
            return trouble


PLANS: Sells = StripePlans()
"""Stripe's."""
