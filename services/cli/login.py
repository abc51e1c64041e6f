"""What an app says about logging in to it, and what is known by calling it."""

from __future__ import annotations

import importlib
import importlib.util

from services.contracts.app import Trouble
from services.runtime.app import Access, App
from services.runtime.authorize.way import Authorization, Examined, Finding

_NOBODY = "contactsync@nobody.invalid"
"""RFC 2606: no contact has an address there."""


def authorization(app: App) -> Authorization:
    """The app's own, or for an app without one: pasted credentials, checked by looking for somebody."""
    package = type(app).__module__.rpartition(".")[0]
    if package and importlib.util.find_spec(f"{package}.authorize") is not None:
        found: Authorization = importlib.import_module(f"{package}.authorize").AUTHORIZATION
        return found

    async def examine(access: Access) -> Examined:
        answer = await app.find(access, _NOBODY)
        if isinstance(answer, Trouble):
            finding = Finding(what="A search", state="wrong", told=answer.detail, next_step="Correct what it names.")
        else:
            finding = Finding(what="A search", state="fine")
        return Examined(findings=(finding,))

    return Authorization(examine=examine)
