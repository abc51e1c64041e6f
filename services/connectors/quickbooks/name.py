"""What a customer is called. A DisplayName is unique among a company's customers, vendors and employees.

The rule: a customer is called by its name, without one by its company, without that by its e-mail address. If somebody
is called so already, the e-mail address follows in brackets, and if that doesn't help, or there is none, a number from
2 to 9: `Ada King`, `Ada King (ada@example.com)`, `Ada King (2)`. Reading leaves these additions out again.
"""

import re
from collections.abc import Iterator

from services.contracts.contact import PersonName

_ADDRESS = re.compile(r" \([^()\s@]+@[^()\s@]+\)\Z")
_NUMBER = re.compile(r" \([2-9]\)\Z")
_NUMBERS = range(2, 10)


def tidy(text: str) -> str:
    """Return the text without outer blanks and with single blanks inside."""
    return " ".join(text.split())


def joined(name: PersonName) -> str:
    """Return the parts of a name in their order."""
    return tidy(f"{name.prefix} {name.given} {name.middle} {name.family} {name.suffix}")


def called(name: PersonName | None, company: str, email: str) -> str:
    """Return what a customer is called, were nobody else called so; empty if nothing says it."""
    own = "" if name is None else tidy(name.full) or joined(name)
    return own or tidy(company) or tidy(email)


def candidates(wanted: str, email: str) -> Iterator[str]:
    """Return the DisplayNames to try, in order: always the same for the same name and address."""
    yield wanted
    if email and email.casefold() != wanted.casefold():
        yield f"{wanted} ({email})"
    for number in _NUMBERS:
        yield f"{wanted} ({number})"


def shown(display: str, *, ours: bool) -> str:
    """Return a DisplayName without what was added to make it unique; numbers only for a customer that we made."""
    text = _ADDRESS.sub("", tidy(display))
    return _NUMBER.sub("", text) if ours else text
