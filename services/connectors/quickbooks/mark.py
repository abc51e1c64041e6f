"""Our mark: a line at the end of a customer's notes, the only text of a customer's own that takes one.

It names the link whose create made the customer, so that a create whose answer was lost is found again. People see it
there; what they write around it stays, and the note that is kept in step doesn't have it.
"""

import re

_LINE = re.compile(r"^[ \t]*\[contactsync:([0-9A-Za-z-]{1,40})\][ \t]*$", re.MULTILINE)


def of(notes: str) -> str | None:
    """Return the link's id, or None."""
    found = _LINE.search(notes)
    return found[1] if found else None


def without(notes: str) -> str:
    """Return the notes without our line."""
    return _LINE.sub("", notes.replace("\r\n", "\n").replace("\r", "\n"), count=1).strip()


def with_mark(note: str, link: str | None) -> str:
    """Return the notes that say `note` and carry the link's id, if there is one."""
    lines = [note] if note else []
    return "\n".join([*lines, *([f"[contactsync:{link}]"] if link else [])])
