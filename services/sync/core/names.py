"""A person's name as one text and in parts: joining loses nothing, splitting changes only what changed."""

from msgspec.structs import replace
from nameparser import HumanName

from services.contracts.contact import PersonName


def tidy(text: str) -> str:
    """Return the text without outer blanks and with single blanks inside."""
    return " ".join(text.split())


def join(name: PersonName) -> str:
    """Return the name as one text: its parts in order, or its display form where it has no parts."""
    parts = (name.prefix, name.given, name.middle, name.family, name.suffix)
    return tidy(" ".join(parts)) or tidy(name.full)


def split(text: str, present: PersonName | None) -> PersonName:
    """Return `text` in parts, keeping every part of `present` that the text still shows at its place."""
    text = tidy(text)
    if not text:
        return PersonName()
    if present is not None:
        if join(present) == text:
            return present
        kept = _keep(text, present)
        if kept is not None:
            return kept
    parsed = HumanName(text)
    parts = PersonName(
        prefix=parsed.title,
        given=parsed.first,
        middle=parsed.middle,
        family=parsed.last,
        suffix=parsed.suffix,
    )
    # The parser reorders or drops some shapes ("Last, First"; lone titles): then the text is kept whole.
    return parts if join(parts) == text else _plain(text)


def _plain(text: str) -> PersonName:
    given, _, family = text.partition(" ")
    return PersonName(given=given, family=family)


def _keep(text: str, present: PersonName) -> PersonName | None:
    words = text.split()
    head = tidy(f"{present.prefix} {present.given} {present.middle}").split()
    tail = tidy(f"{present.family} {present.suffix}").split()
    if head and len(words) > len(head) and words[: len(head)] == head:
        rest, suffix = words[len(head) :], present.suffix.split()
        if suffix and len(rest) > len(suffix) and rest[-len(suffix) :] == suffix:
            return replace(present, family=" ".join(rest[: -len(suffix)]), full="")
        return replace(present, family=" ".join(rest), suffix="", full="")
    if tail and len(words) > len(tail) and words[-len(tail) :] == tail:
        rest, prefix = words[: -len(tail)], present.prefix.split()
        if prefix and len(rest) > len(prefix) and rest[: len(prefix)] == prefix:
            rest = rest[len(prefix) :]
        else:
            prefix = []
        given, middle = _given_and_middle(rest, present.given.split(), present.middle.split())
        return replace(present, prefix=" ".join(prefix), given=" ".join(given), middle=" ".join(middle), full="")
    return None


def _given_and_middle(words: list[str], given: list[str], middle: list[str]) -> tuple[list[str], list[str]]:
    """Split what stands before the family name, keeping whichever of the two names is still at its place."""
    if middle and len(words) > len(middle) and words[-len(middle) :] == middle:
        return words[: -len(middle)], middle
    if given and words[: len(given)] == given:
        return given, words[len(given) :]
    return words, []
