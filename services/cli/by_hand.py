"""The commands with which a person does by hand what contactsync does by itself otherwise."""

from __future__ import annotations

from typing import Annotated, Literal

import cyclopts

# What they call is imported when they are called: the file's commands work without sync and connectors.
# ruff: noqa: PLC0415
parked = cyclopts.App(name="parked", help="Messages that were set aside, with their reason.")


def register(app: cyclopts.App) -> None:
    """Add the commands to the command line."""
    for command in (link, unlink, duplicates, retry, settle):
        app.command(command)
    app.command(parked)


async def link(left: str, right: str, /, *, connection: str | None = None) -> int:
    """Pair two contacts: your word outranks matching, and lasts.

    Parameters
    ----------
    left
        A contact of the connection's left account: its id there, or an e-mail address.
    right
        A contact of the right account, likewise.
    connection
        Its name, where both are in several.
    """
    from services.cli import links

    return await links.link(left, right, connection)


async def unlink(contact: str, /, *, connection: str | None = None) -> int:
    """Dissolve a contact's pair: nothing is written, and the two aren't matched again.

    Parameters
    ----------
    contact
        Its id, an e-mail address, or its link's id.
    connection
        Its name, where the contact is linked in several.
    """
    from services.cli import links

    return await links.unlink(contact, connection)


async def duplicates(
    *, connection: str | None = None, json: Annotated[bool, cyclopts.Parameter(negative=())] = False
) -> int:
    """List contacts that take no part because another one has their address, and what ends that.

    Parameters
    ----------
    connection
        Only those of this connection.
    json
        Print JSON, for programs.
    """
    from services.cli import duplicates as listing

    return await listing.duplicates(connection, as_json=json)


async def retry(
    target: str | None = None,
    /,
    *,
    all_: Annotated[bool, cyclopts.Parameter(name="--all", negative=())] = False,
    connection: str | None = None,
) -> int:
    """Send again what an app refused; it rests otherwise until the value changes.

    Parameters
    ----------
    target
        A contact's id or e-mail address, or a link's id.
    all_
        Everything that was refused.
    connection
        Only in this connection.
    """
    from services.cli import retry as again

    return await again.retry(target, connection, everything=all_)


async def settle(
    link: str,
    /,
    *,
    contact: str | None = None,
    applied: Annotated[bool, cyclopts.Parameter(negative=())] = False,
    absent: Annotated[bool, cyclopts.Parameter(negative=())] = False,
    side: Literal["left", "right"] | None = None,
) -> int:
    """End a write's unknown outcome by your word: look into the app first.

    Parameters
    ----------
    link
        The link's id, as `contactsync status` shows it, or how it begins.
    contact
        The create made this contact: its id.
    applied
        The change is in the app.
    absent
        Nothing was made or changed: it is sent anew.
    side
        Which side was written to, if both are unknown.
    """
    from services.cli import settle as settling

    return await settling.settle(link, settling.Said(contact=contact, applied=applied, absent=absent), side)


@parked.command(name="list")
async def parked_list(*, json: Annotated[bool, cyclopts.Parameter(negative=())] = False) -> int:
    """List what was set aside.

    Parameters
    ----------
    json
        Print JSON, for programs.
    """
    from services.cli import parked as aside

    return await aside.show_all(as_json=json)


@parked.command(name="show")
async def parked_show(id: str, /, *, body: Annotated[bool, cyclopts.Parameter(negative=())] = False) -> int:
    """Show one message.

    Parameters
    ----------
    id
        Its id, from `contactsync parked list`.
    body
        Show its body, too: it may hold a contact's data.
    """
    from services.cli import parked as aside

    return await aside.show(id, body=body)


@parked.command(name="release")
async def parked_release(id: str, /) -> int:
    """Put a message back into its topic.

    Parameters
    ----------
    id
        Its id, from `contactsync parked list`.
    """
    from services.cli import parked as aside

    return await aside.decide(id, release=True)


@parked.command(name="drop")
async def parked_drop(id: str, /) -> int:
    """Delete a message for good.

    Parameters
    ----------
    id
        Its id, from `contactsync parked list`.
    """
    from services.cli import parked as aside

    return await aside.decide(id, release=False)
