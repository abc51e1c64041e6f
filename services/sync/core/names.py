"""A person's name as one text and in parts: joining loses nothing, splitting changes only what changed."""

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
    """Keep the parts of `present` that stand at their place; None if neither side of the name does."""
    words, parsed = text.split(), HumanName(text)
    given, middle, family = present.given.split(), present.middle.split(), present.family.split()
    # What stands where a known name stood is that name, though it may look like a title.
    title = [] if _at_start(words, given) else parsed.title.split()
    ending = [] if _at_end(words, family) else parsed.suffix.split()
    prefix = _at_start(words, present.prefix.split()) or _at_start(words, title)
    words = words[len(prefix) :]
    suffix = _at_end(words, present.suffix.split()) or _at_end(words, ending)
    words = words[: len(words) - len(suffix)]
    if _at_end(words, family):
        given, middle = _given_and_middle(words[: -len(family)], given, middle)
    elif _at_start(words, given + middle):
        family = words[len(given + middle) :]
    else:
        return None
    return PersonName(
        prefix=" ".join(prefix),
        given=" ".join(given),
        middle=" ".join(middle),
        family=" ".join(family),
        suffix=" ".join(suffix),
    )


def _at_start(words: list[str], part: list[str]) -> list[str]:
    """Return the part if the words begin with it and go on."""
    return part if part and len(words) > len(part) and words[: len(part)] == part else []


def _at_end(words: list[str], part: list[str]) -> list[str]:
    """Return the part if the words end with it and something stands before."""
    return part if part and len(words) > len(part) and words[-len(part) :] == part else []


def _given_and_middle(words: list[str], given: list[str], middle: list[str]) -> tuple[list[str], list[str]]:
    """Split what stands before the family name, keeping whichever of the two names is still at its place."""
    if middle and len(words) > len(middle) and words[-len(middle) :] == middle:
        return words[: -len(middle)], middle
    if given and words[: len(given)] == given:
        return given, words[len(given) :]
    return words, []
