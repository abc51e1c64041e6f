"""What a Stripe key may do, found out by one harmless request for each permission that contactsync needs.

A restricted key without the permission for a request is answered 403 (https://docs.stripe.com/keys#limit-access,
https://docs.stripe.com/api/errors), whatever the request names: so an update of a customer that doesn't exist tells
whether customers may be written, and writes none.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from services.connectors.stripe.client import Answer, ask
from services.connectors.stripe.error import ErrorAnswer
from services.contracts.app import Trouble
from services.runtime.app import Access
from services.runtime.authorize.way import Examined, Finding, State

NOBODY = "cus_contactsync_nobody"
"""No customer has that id: Stripe's own have no second underscore."""
DASHBOARD = "https://dashboard.stripe.com/apikeys"


class Needed(msgspec.Struct, frozen=True, kw_only=True):
    """A permission as Stripe's dashboard calls it, and the request that shows it."""

    title: str
    method: Literal["get", "post"]
    path: str
    params: dict[str, Any]
    why: str


CUSTOMERS_READ = Needed(
    title="Customers: Read", method="get", path="/v1/customers", params={"limit": 1}, why="contacts are read"
)
CUSTOMERS_WRITE = Needed(
    title="Customers: Write",
    method="post",
    path=f"/v1/customers/{NOBODY}",
    params={"description": "contactsync asks whether it may write"},
    why="contacts are written",
)
SUBSCRIPTIONS_READ = Needed(
    title="Subscriptions: Read",
    method="get",
    path="/v1/subscriptions",
    params={"limit": 1, "status": "all"},
    why="rules ask for subscriptions, and every customer is read with them",
)
EVENTS_READ = Needed(
    title="Events: Read", method="get", path="/v1/events", params={"limit": 1}, why="lost webhooks are caught up on"
)


async def examine(access: Access) -> Examined:
    """Ask for each permission. The first answer that says that the key itself is no good ends it."""
    key = next(iter(access.credentials.get("api_key", ())), "")
    kind = "secret key" if key.startswith("sk_") else "restricted key"
    mode = "live" if "_live_" in key else "test"
    needed = [CUSTOMERS_READ, CUSTOMERS_WRITE, SUBSCRIPTIONS_READ]
    if access.settings.get("events") != "off":
        needed.append(EVENTS_READ)
    findings: list[Finding] = []
    for each in needed:
        answer = await ask(access, each.method, each.path, each.params)
        findings.append(_finding(each, answer))
        if isinstance(answer, Trouble) or (isinstance(answer, ErrorAnswer) and answer.status == 401):
            break
    if findings[-1].state != "wrong" and key.startswith("sk_"):
        advice = f"Make a restricted key with only those permissions: {DASHBOARD}."
        findings.append(
            Finding(
                what="Key", state="doubtful", told="a secret key may do everything in the account", next_step=advice
            )
        )
    return Examined(who=f"{mode} mode, {kind}", findings=tuple(findings))


def _finding(needed: Needed, answer: Answer | ErrorAnswer | Trouble) -> Finding:
    state: State = "wrong"
    match answer:
        case Answer():
            return Finding(what=needed.title, state="fine")
        case ErrorAnswer(missing=True) if needed is CUSTOMERS_WRITE:
            return Finding(what=needed.title, state="fine")
        case ErrorAnswer(status=403):
            step = f"Give the key this permission ({DASHBOARD}): {needed.why}."
            return Finding(what=needed.title, state="wrong", told="the key lacks this permission", next_step=step)
        case ErrorAnswer(status=401):
            step = f"Copy the key again, or make a new one: {DASHBOARD}."
            told = "Stripe doesn't take the key: it is wrong, expired or revoked"
            return Finding(what="Key", state="wrong", told=told, next_step=step)
        case ErrorAnswer():
            state = "doubtful" if answer.status in (409, 429) or answer.status >= 500 else "wrong"
            return Finding(what=needed.title, state=state, told=answer.trouble().detail, next_step="Try again.")
        case Trouble():
            step = "Is the network there, and the setting api_base right?"
            return Finding(what=needed.title, state="wrong", told=answer.detail, next_step=step)
