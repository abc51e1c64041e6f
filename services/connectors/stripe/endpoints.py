"""Whether Stripe sends its webhooks to us: what the account's webhook endpoints say.

https://docs.stripe.com/api/webhook_endpoints/list
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from urllib.parse import urlsplit

import msgspec

from services.connectors.stripe.client import Answer, ask
from services.connectors.stripe.read import CUSTOMER_CHANGED, CUSTOMER_DELETED
from services.contracts.app import Trouble
from services.runtime.app import Access
from services.runtime.authorize.way import Finding

PAGE = "https://dashboard.stripe.com/webhooks"
_SUBSCRIPTIONS = ("created", "updated", "deleted", "paused", "resumed")
EVENTS = frozenset({*CUSTOMER_CHANGED, CUSTOMER_DELETED, *(f"customer.subscription.{what}" for what in _SUBSCRIPTIONS)})
"""The types without which something would be learned by polls alone."""
_WHAT = "Webhook endpoint"


class _Endpoint(msgspec.Struct, frozen=True):
    url: str
    status: str = "enabled"
    enabled_events: tuple[str, ...] = ()


class _Listed(msgspec.Struct, frozen=True):
    data: tuple[_Endpoint, ...] = ()


async def hooks(access: Access, path: str) -> Finding:
    """Look for an enabled endpoint whose address ends with `path` and that gets the events."""
    answer = await ask(access, "get", "/v1/webhook_endpoints", {"limit": 100})
    listed = answer.decoded(_Listed) if isinstance(answer, Answer) else answer
    if not isinstance(listed, _Listed):
        told = "not looked at"
        if not isinstance(listed, Trouble) and listed.status == 403:
            told = "not looked at, for the key lacks Webhook Endpoints: Read (nothing else needs it)"
        return Finding(what=_WHAT, state="fine", told=told)
    ours = [each for each in listed.data if urlsplit(each.url).path.rstrip("/").endswith(path)]
    if not ours:
        step = f"Make one at {PAGE} for https://YOUR-HOST{path}; until then changes come by the next poll."
        return Finding(what=_WHAT, state="doubtful", told=f"none of the account's leads to {path}", next_step=step)
    enabled = [each for each in ours if each.status == "enabled"]
    if not enabled:
        told = "it is disabled, as Stripe does after many failures"
        return Finding(what=_WHAT, state="doubtful", told=told, next_step=f"Enable it again: {PAGE}.")
    got = {word for each in enabled for word in each.enabled_events}
    if missing := [kind for kind in sorted(EVENTS) if not any(fnmatchcase(kind, word) for word in got)]:
        step = f"Add these events to it: {PAGE}."
        return Finding(what=_WHAT, state="doubtful", told=f"it doesn't get {', '.join(missing)}", next_step=step)
    return Finding(what=_WHAT, state="fine")
