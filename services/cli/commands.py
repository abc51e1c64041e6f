"""The commands, as the command line shows them. What they do is in the modules that they call."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal, get_args

import cyclopts

from services.cli import (
    by_hand,
    control,
    explain,
    export,
    files,
    forget,
    import_archive,
    planning,
    replay,
    revert,
    upkeep,
)
from services.cli.failure import MISUSED, Failure
from services.connectors import discover
from services.runtime.settings import load

Role = Literal["ingest", "sync", "connectors"]


def version() -> str:
    """The installed version."""
    try:
        return metadata.version("contactsync")
    except metadata.PackageNotFoundError:
        return "not installed (run from its source)"


app = cyclopts.App(
    name="contactsync",
    help="Keeps contacts in step between apps, in real time.",
    version=version,
    version_flags=["--version"],
)
held = cyclopts.App(name="held", help="Changes that wait for a person's yes.")
app.command(held)
by_hand.register(app)
upkeep.register(app)
explain.register(app)
export.register(app)
import_archive.register(app)
forget.register(app)
replay.register(app)
revert.register(app)
planning.register(app)


@app.command
async def run(
    *roles: Role, app: Annotated[tuple[str, ...], cyclopts.Parameter(negative=(), show_default=False)] = ()
) -> int:
    """Run contactsync until it is stopped: all roles, or those named.

    Parameters
    ----------
    roles
        What this process does.
    app
        Narrow connectors to this app; may be repeated.
    """
    if app and roles and "connectors" not in roles:
        raise Failure("--app narrows connectors, and that role isn't among those named.", MISUSED)
    if unknown := sorted(set(app) - set(discover())):
        raise Failure(f"There is no app {unknown[0]}. The apps are {', '.join(discover())}.", MISUSED)
    from services.main import run as run_roles  # noqa: PLC0415 - only this command needs the three services

    return await run_roles(load(), frozenset(roles or get_args(Role)), frozenset(app) or None)


@app.command
async def demo(
    *,
    exit_: Annotated[bool, cyclopts.Parameter(name="--exit", negative=())] = False,
    burst: Annotated[bool, cyclopts.Parameter(negative=())] = False,
    kafka: Annotated[bool, cyclopts.Parameter(negative=())] = False,
) -> int:
    """Watch a whole synchronisation between sandboxes, without any account.

    Parameters
    ----------
    exit_
        End when the story is told, instead of running on.
    burst
        Then play 500 changes at once, print how long they took, and end.
    kafka
        Let messages travel in a real Apache Kafka, which Maven fetches and Java 17 runs.
    """
    from services.demo import run as run_demo  # noqa: PLC0415 - sandboxes are loaded for this command only

    return await run_demo(load(), exit_=exit_, with_burst=burst, kafka=kafka)


@app.command
async def check(file: Path, /, *, offline: Annotated[bool, cyclopts.Parameter(negative=())] = False) -> int:
    """Check a connections file: all its problems, each with its line and what to write instead.

    Parameters
    ----------
    file
        The YAML file.
    offline
        Ask no app, such as Stripe for its plans.
    """
    return await files.check_file(file, offline=offline)


@app.command
async def authorize(
    account: str,
    /,
    *,
    app: str = "",
    client_id: str = "",
    set_: Annotated[tuple[str, ...], cyclopts.Parameter(name="--set", negative=(), show_default=False)] = (),
    no_browser: Annotated[bool, cyclopts.Parameter(negative=())] = False,
    port: int = 0,
    redirect: str = "",
) -> int:
    """Log in to an account, check by real calls what the login may do, and keep it encrypted.

    Secrets are asked for, read from the standard input, or taken from the environment, such as SHOP_API_KEY for the
    `api_key` of the account shop; never from the arguments.

    Parameters
    ----------
    account
        Its name, as in the connections file; it needn't be there yet.
    app
        Which app it is of, if the connections file doesn't say so yet.
    client_id
        The OAuth client's id, if none is stored or another one is meant.
    set_
        KEY=VALUE for a setting of an account that no file names yet; may be repeated.
    no_browser
        Print the address, and take the pasted address that the browser was led to.
    port
        The port of this machine that the browser comes back to; 0 takes a free one.
    redirect
        The redirect address that the app has for this client, if it takes no other: http://localhost:PORT/… with
        --port PORT, or any address of yours, from which you paste what the browser was led to.
    """
    from services.cli import authorize as login  # noqa: PLC0415 - as status

    wish = login.Wish(
        account=account,
        app=app,
        client_id=client_id,
        settings=set_,
        browser=not no_browser,
        port=port,
        redirect=redirect,
    )
    return await login.authorize(wish)


@app.command
def apps(*names: str, json: Annotated[bool, cyclopts.Parameter(negative=())] = False) -> int:
    """Tell what there is to know of the apps, of one app, or of a pair: keys, fields, rules, options, mapping.

    Parameters
    ----------
    names
        An app, or the left and the right one of a connection.
    json
        Print JSON, for programs.
    """
    from services.cli.apps import apps as tell  # noqa: PLC0415 - as status

    return tell(names, as_json=json)


@app.command
def schema() -> int:
    """Print the connections file's JSON Schema, with which editors complete and underline."""
    from services.cli.schema import show  # noqa: PLC0415 - as status

    return show()


@app.command
async def doctor(*, json: Annotated[bool, cyclopts.Parameter(negative=())] = False) -> int:
    """Look at the store, the log, and with real calls at every account: what works, what doesn't, what to do.

    Changes nothing. Ends with 1 if anything is wrong.

    Parameters
    ----------
    json
        Print JSON, for programs.
    """
    from services.cli.doctor import doctor as look  # noqa: PLC0415 - as status

    return await look(as_json=json)


@app.command
async def status(*, json: Annotated[bool, cyclopts.Parameter(negative=())] = False) -> int:
    """Show how connections, scans and accounts are, and what waits for what.

    Parameters
    ----------
    json
        Print JSON, for programs.
    """
    from services.cli.status import status as show  # noqa: PLC0415 - the file's commands work without sync

    return await show(as_json=json)


@held.command(name="list")
async def held_list() -> int:
    """List the changes that wait for a person's yes."""
    from services.cli import held as waiting  # noqa: PLC0415 - as status

    return await waiting.show()


@held.command(name="approve")
async def held_approve(id: str, /) -> int:
    """Let a held change happen.

    Parameters
    ----------
    id
        Its id, from `contactsync held list`.
    """
    from services.cli import held as waiting  # noqa: PLC0415 - as status

    return await waiting.decide(id, yes=True)


@held.command(name="reject")
async def held_reject(id: str, /) -> int:
    """Drop a held change.

    Parameters
    ----------
    id
        Its id, from `contactsync held list`.
    """
    from services.cli import held as waiting  # noqa: PLC0415 - as status

    return await waiting.decide(id, yes=False)


@app.command
async def pause(connection: str, /) -> int:
    """Stop a connection's effects; events are still taken in.

    Parameters
    ----------
    connection
        Its name in the file.
    """
    return await control.pause(connection)


@app.command
async def resume(connection: str, /) -> int:
    """End a pause: both sides converge to the newest values.

    Parameters
    ----------
    connection
        Its name in the file.
    """
    return await control.resume(connection)
