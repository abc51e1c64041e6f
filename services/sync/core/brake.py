"""Brakes: many deletions at once wait for a person (E6), and so does a contact that is written again and again (F3)."""

from msgspec.structs import replace

from services.contracts.contact import Side
from services.sync.core.mapping import Config
from services.sync.core.slice import MissingLockError, Slice, clear
from services.sync.core.state import Link, Window

WINDOW = 600_000_000
"""Microseconds for which deletions, and the writes to one contact, are counted together."""
OFTEN = "it was written too often within ten minutes: nothing is written there until a person lets it go"
AT_ONCE = 19
"""Deletions of a window that are tagged without waiting for its close."""
SHARE = 0.3
"""Of the links that were active when the window opened: so many deletions wait for a person."""


def lock_of(connection: str) -> str:
    """Return the key under whose lock the connection's windows are counted."""
    return f"brake:{connection}"


def may_tag(state: Slice, config: Config, before: Link, link: Link) -> Link | None:
    """Count the link's deletion once; return the link if its survivor may be tagged now, else None (it waits then).

    Raises `MissingLockError` if the connection's windows aren't locked.
    """
    name = config.connection.name
    if name not in state.windows:
        raise MissingLockError(lock_of(name))
    if link.counted is None:
        window = _open(state, name)
        window = replace(window, count=window.count + 1)
        state.put_window(window)
        if window.count - 1 < SHARE * window.active <= window.count:
            state.freed.add(name)  # those that wait for the close wait for a person from now on
        link = replace(link, counted=window.opened, number=window.count)
    window = state.windows[name].get(-1 if link.counted is None else link.counted, _open(state, name))
    if link.number <= AT_ONCE or window.said is True:
        return link
    if window.said is False:
        dismissed = clear(link)
        state.decide(before, dismissed, config, "nothing", "a person said that these deletions aren't to be tagged")
        return None
    link = replace(link, wait=before.wait)
    if window.count >= SHARE * window.active:
        waiting = state.waiting(link, "deletions", name)
        reason = f"{window.count} deletions within ten minutes, of {window.active} contacts: they wait for a person"
        state.decide(before, waiting, config, "held", reason)
        return None
    closes = window.opened + WINDOW
    if state.now >= closes:
        return clear(link)
    waiting = state.waiting(link, "deletions", name, until=closes)
    state.decide(before, waiting, config, "wait", "many deletions at once: whether too many is seen in a while")
    return None


def _open(state: Slice, connection: str) -> Window:
    """Return the window that is open now, a new one if none is."""
    windows = state.windows[connection]
    latest = max(windows, default=None)
    if latest is not None and state.now < latest + WINDOW:
        return windows[latest]
    return Window(connection=connection, opened=state.now, active=state.active.get(connection, 0), count=0)


def stopped(state: Slice, config: Config, link: Link, side: Side) -> Link | None:
    """Return the link with that side stopped if it was written too often lately, else None (F3).

    It stays so until a person lets it go.
    """
    half = link.half(side)
    most = config.connection.options.most_writes
    if half.stopped is None and not 0 < most <= sum(at > state.now - WINDOW for at in half.written):
        return None
    return link.with_half(side, replace(half, stopped=half.stopped or state.now))
