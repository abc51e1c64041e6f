"""Logging in by OAuth 2: the browser, the page that it comes back to, or an address that a person pastes."""

from __future__ import annotations

import asyncio
import os
import webbrowser
from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx2
import msgspec

from services.cli import ask
from services.cli.failure import MISUSED, Failure
from services.cli.output import complain, say
from services.runtime.authorize import exchange
from services.runtime.authorize.proof import (
    RANDOM_BYTES,
    Answer,
    Code,
    Denied,
    Foreign,
    Proof,
    login_url,
    pasted,
    proof,
)
from services.runtime.authorize.redirect import Landing, landing
from services.runtime.authorize.way import OAuth2

PATIENCE = 300.0
"""Seconds for a login in the browser."""


async def logged_in(
    way: OAuth2,
    settings: Mapping[str, str],
    client: exchange.Client,
    web: httpx2.AsyncClient,
    *,
    browser: bool,
    port: int,
    redirect: str = "",
) -> tuple[exchange.Tokens, dict[str, str]]:
    """Have a person log in. Raises `Failure`.

    Returns tokens with every scope and a refresh token, and the settings that the answer told. `redirect` is the
    address that the app has for this client, where it insists on one.
    """
    if way.registered and not (redirect or way.redirect):
        raise Failure(
            "The app leads only to a redirect address that the OAuth client has there. Say which: --redirect "
            "http://localhost:8400/back, or an https address of yours.",
            MISUSED,
        )
    made = proof(os.urandom(RANDOM_BYTES), os.urandom(RANDOM_BYTES))
    way = msgspec.structs.replace(way, redirect=redirect or way.redirect)
    answer, where = await _answer(way, settings, client, made, browser=browser, port=port)
    match answer:
        case Denied(reason):
            raise Failure(f"Nothing was stored: {reason}.")
        case Foreign(reason):
            raise Failure(f"That isn't the answer to this login: {reason}. Run the command again.")
        case Code(value, told):
            tokens = await exchange.redeem(web, way, settings, client, code=value, redirect=where, made=made)
    if isinstance(tokens, exchange.Failed):
        raise Failure(f"Nothing was stored. {tokens.reason}")
    if lacking := tokens.lacking(way):
        raise Failure(
            f"Nothing was stored: the login lacks {' '.join(lacking)}. Run the command again, and leave every box "
            "ticked."
        )
    if not tokens.refresh_token:
        raise Failure(f"Nothing was stored: the app gave no lasting login (refresh token). {way.once_more}")
    return tokens, {setting: dict(told)[name] for name, setting in way.tells.items() if name in dict(told)}


async def _answer(
    way: OAuth2, settings: Mapping[str, str], client: exchange.Client, made: Proof, *, browser: bool, port: int
) -> tuple[Answer, str]:
    def ignored(foreign: Foreign) -> None:
        complain(f"A page that isn't the answer to this login came back, and was ignored: {foreign.reason}.")

    try:
        here = _port_here(way.redirect)
        comes = here is not None and port in (0, here)
        path = urlsplit(way.redirect).path if comes else ""
        async with landing(made, ignored, here if here is not None and comes else port, path or "/") as page:
            redirect = way.redirect or page.address
            login = login_url(way, settings, client.id, redirect, made)
            say(f"Log in and allow access here:\n\n  {login}\n")
            if not browser or (way.redirect and not comes):
                say("Then copy the address that the browser was led to, even if it shows an error, and paste it here:")
                return await _first(page, made), redirect
            opening = asyncio.create_task(asyncio.to_thread(_open, login))
            try:
                return await page.answer(PATIENCE), redirect
            finally:
                opening.cancel()
    except TimeoutError:
        raise Failure(
            f"Nobody logged in within {PATIENCE / 60:.0f} minutes. Run the command again; on a machine without a "
            "browser with --no-browser."
        ) from None


def _port_here(redirect: str) -> int | None:
    """The port of this machine that a redirect leads to; None if it leads elsewhere."""
    try:
        parts = urlsplit(redirect)
        return parts.port if parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost") else None
    except ValueError:
        return None


async def _first(page: Landing, made: Proof) -> Answer:
    """Whichever comes first: the pasted address, or the browser itself, if it is on this machine after all."""
    typed = asyncio.create_task(ask.line(PATIENCE))
    came = asyncio.create_task(page.answer(PATIENCE))
    try:
        await asyncio.wait({typed, came}, return_when=asyncio.FIRST_COMPLETED)
        return came.result() if came.done() else pasted(typed.result(), made)
    finally:
        typed.cancel()
        came.cancel()


def _open(address: str) -> None:
    try:
        fine = webbrowser.open(address)
    except (OSError, webbrowser.Error):
        fine = False
    if not fine:
        complain("No browser could be opened here: open the address yourself, or run this again with --no-browser.")
