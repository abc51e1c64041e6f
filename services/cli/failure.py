"""Errors as sentences: what a command that failed says, and with which exit status it ends."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from services.runtime.settings import PREFIX
from services.runtime.telemetry import frames

FAILED = 1
MISUSED = 2


class Failure(Exception):  # noqa: N818 - the sentence that a command ends with
    """A command can't do what it was asked. The text is for a person; `status` is the exit status."""

    def __init__(self, sentence: str, status: int = FAILED) -> None:
        super().__init__(sentence)
        self.status = status


def told(error: BaseException) -> tuple[str, int]:
    """What to say about `error`, and the exit status."""
    failures = list(dict.fromkeys(_sentence(leaf) for leaf in _leaves(error)))
    status = error.status if isinstance(error, Failure) else FAILED
    text = "\n".join(failures)
    if os.environ.get(f"{PREFIX}LOG_LEVEL", "").lower() == "debug":
        text = f"{frames(error)}\n{text}"  # no messages: the database's quote the rows that they are about
    return text, status


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _sentence(error: BaseException) -> str:
    match error:
        case _ if type(error).__module__.startswith("services.") and str(error):
            return str(error)  # every exception of ours says a sentence, without secrets and contacts' data
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return f"The PostgreSQL at {PREFIX}STORE_URL refuses the user or the password in that address."
        case asyncpg.InvalidCatalogNameError():
            return f"The PostgreSQL at {PREFIX}STORE_URL has no database of that name. Create it, or name another."
        case asyncpg.InsufficientPrivilegeError():
            return f"The PostgreSQL user of {PREFIX}STORE_URL lacks a right. It has to own its database."
        case (
            asyncpg.PostgresConnectionError()
            | asyncpg.CannotConnectNowError()
            | asyncpg.TooManyConnectionsError()
            | asyncpg.InternalClientError()  # what asyncpg raises if the server goes while a connection is given back
        ):
            return f"The PostgreSQL takes no connection now ({type(error).__name__}). Try again in a moment."
        case asyncpg.ClientConfigurationError():
            return (
                f"{PREFIX}STORE_URL isn't an address that can be connected to. Write postgresql://user@host/database."
            )
        case OSError() if error.filename is not None:
            return f"{error.filename}: {error.strerror or 'it can not be used'}."
        case OSError():
            return f"A connection failed ({error.strerror or type(error).__name__}). Is what it leads to running?"
        case _:
            return (
                f"contactsync ended by a mistake of its own: {type(error).__name__} at {_place(error)}. Please report "
                f"it; {PREFIX}LOG_LEVEL=debug shows the whole way there."
            )


def _place(error: BaseException) -> str:
    """The innermost line of ours. No message of the exception: it may quote data."""
    frames = traceback.extract_tb(error.__traceback__, limit=None)
    ours = [frame for frame in frames if "services" in Path(frame.filename).parts] or list(frames)
    return f"{'/'.join(Path(ours[-1].filename).parts[-2:])}:{ours[-1].lineno}" if ours else "an unknown place"
