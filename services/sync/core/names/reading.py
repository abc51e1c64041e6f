"""A name's parts read from its text alone: where the text doesn't tell, a word stays in the given name."""

import re
from itertools import pairwise

from msgspec.structs import replace
from nameparser import Role

from services.contracts.contact import PersonName
from services.sync.core.names.spoken import is_native, join, leads
from services.sync.core.names.words import (
    AND,
    BOUND,
    DOUBTFUL_DEGREES,
    FIRMS,
    GIVEN_TITLES,
    JOINERS,
    MAIDEN,
    NAMELIKE_SUFFIXES,
    PARSER,
    PARTICLES,
    SHORT_FIRMS,
    STARTS_OF_FIRMS,
    TRADES,
    folded,
    is_suffix,
    is_title,
    is_usual,
)

_PATRONYMIC = re.compile(r"[а-яёіїє]+(?:ич|[еоі]вна|ична)", re.IGNORECASE)
_RUSSIAN_FAMILY = re.compile(r"[а-яёіїє]+(?:[еёои]в|ева|ёва|ова|ин|ина|ий|ая|ко|ук|юк|ых)", re.IGNORECASE)
_INITIAL = re.compile(r"[^\W\d_]\.?")
# These come from addresses, lists and markup, never from one person's name.
_FOREIGN = re.compile(r"[@;:|<>\\=*#،、]|\bwww\.|\d")
_COMMA = re.compile("[,，]")
_BRACKETS = {'"': '"', "“": "”", "„": "“", "«": "»", "(": ")", "[": "]", "（": "）", "「": "」", "'": "'", "‘": "’"}
MAX_WORDS = 16
"""More words than these are a text, and nothing is looked for in them."""
# More words than these after the comma are a sentence.
_MAX_GIVEN_WORDS = 3
_JOINING = PARTICLES | JOINERS | MAIDEN
_BEFORE_FAMILY = PARTICLES | {"und"}


def parse(text: str) -> PersonName:
    """Return a clean text in parts; joining them gives `natural(text)`."""
    words = text.split()
    if len(words) == 2 and is_usual(words[0]) and is_usual(words[1]) and not is_native(words[0]):
        return PersonName(given=words[0], family=words[1])  # nearly every name there is, at no cost
    if is_other(text):
        return PersonName(given=text)
    if _COMMA.search(text):
        return _parted(text) or PersonName(given=text)
    found = _native(words) if is_native("".join(words)) else _read(_led(words))
    # What doesn't join to the text again was read wrongly: then nothing is known about it.
    return found if join(found) == " ".join(_led(words)) else PersonName(given=text)


def natural(text: str) -> str:
    """Return a clean text in the order in which names are spoken; nothing but commas between its parts goes.

    "King, Ada" is "Ada King", "Ada King, PhD" is "Ada King PhD", and "Иванов Иван Иванович" is "Иван Иванович Иванов".
    """
    if _COMMA.search(text):
        return join(parse(text))
    return " ".join(_led(text.split()))


def is_other(text: str) -> bool:
    """Whether a clean text is something else than one person's name: a firm, two people, an address, a number."""
    words = text.split()
    if not 1 < len(words) <= MAX_WORDS:
        return True
    if _FOREIGN.search(" ".join(word for word in words if not is_suffix(word))):
        return True
    bare = [folded(word) for word in words]
    return (
        bare[0] in STARTS_OF_FIRMS
        or words[-1].strip(",") in SHORT_FIRMS
        or any(word in FIRMS for word in bare[1:])
        or any(word in TRADES for word in bare)
        # "von und zu" is one family's, "Ada und Eva" are two people
        or any(word in AND and before not in PARTICLES for before, word in pairwise(["", *bare]))
    )


def leading_titles(words: list[str]) -> int:
    """Return how many words at the start are titles; after one, so are abbreviations in small letters: Dr. med."""
    count = 0
    for word in words:
        abbreviated = count > 0 and word.endswith(".") and word[0].islower()
        if not is_title(word) and not abbreviated:
            break
        count += 1
    return count


def trailing_suffixes(words: list[str]) -> int:
    """Return how many words at the end are suffixes; "Ph. D." is one in two words."""
    count = 0
    while count < len(words):
        rest = words[: len(words) - count]
        if is_suffix(rest[-1]) and (len(rest) > 2 or folded(rest[-1]) not in NAMELIKE_SUFFIXES):
            count += 1
        elif [folded(word) for word in rest[-2:]] == ["ph", "d"]:
            count += 2
        else:
            break
    return count


def _led(words: list[str]) -> list[str]:
    """Return the words with a Russian family name at the end: a patronymic stands last only where it stood first."""
    if (
        len(words) == 3
        and _RUSSIAN_FAMILY.fullmatch(words[0])
        and _is_patronymic(words[2])
        and not _is_patronymic(words[1])
    ):
        return [words[1], words[2], words[0]]
    return words


def _parted(text: str) -> PersonName | None:
    """Read "Family, Given" and commas before suffixes; None if the commas mean something else."""
    pieces = [piece.split() for piece in _COMMA.split(text)]
    if not all(pieces):
        return None
    suffixes: list[str] = []
    while len(pieces) > 1 and _follows(pieces[-1], full=len(pieces[0]) > 1):
        suffixes = [*pieces.pop(), *suffixes]
    suffix = " ".join(suffixes)
    if len(pieces) == 1:
        alone = parse(" ".join(pieces[0]))
        return replace(alone, suffix=f"{alone.suffix} {suffix}".strip())
    # More commas are a sentence, an address or a list.
    if len(pieces) > 2:
        return None
    family, given = pieces
    before, at = leading_titles(family), leading_titles(given)
    names = [word for word in family[before:] if folded(word) not in PARTICLES | JOINERS]
    # "García Márquez, Gabriel" could be "Ada King, London": two names that nothing joins are no family name for sure.
    joined = sum(folded(word) in JOINERS for word in family)
    if len(names) != joined + 1 or not 0 < len(given) - at <= _MAX_GIVEN_WORDS:
        return None
    end = len(given) - min(trailing_suffixes(given), len(given) - at - 1)
    alone = _called(given[at:end])
    return replace(
        alone,
        prefix=" ".join([*family[:before], *given[:at]]),
        family=" ".join(family[before:]),
        suffix=" ".join([*given[end:], *suffixes]),
    )


def _follows(piece: list[str], *, full: bool) -> bool:
    """Whether what stands after a comma goes behind the name. After a full name so do titles and "MA"."""
    before = ["", ""] if full else [""]
    if trailing_suffixes([*before, *piece]) == len(piece):
        return True
    return full and all(is_title(word) or (word.isupper() and folded(word) in DOUBTFUL_DEGREES) for word in piece)


def _is_patronymic(word: str) -> bool:
    return _PATRONYMIC.fullmatch(word) is not None


def _native(words: list[str]) -> PersonName:
    """Family first: so names in these scripts are written. One in katakana first may be foreign: nothing is known."""
    end = len(words) - min(trailing_suffixes(words), len(words) - 1)
    suffix = " ".join(words[end:])
    if end == 1:
        return PersonName(family=words[0], suffix=suffix)  # an honorific goes with the family name
    if not leads(words[0]):
        return PersonName(given=" ".join(words))
    return PersonName(family=words[0], given=" ".join(words[1:end]), suffix=suffix)


def _read(words: list[str]) -> PersonName:
    start = min(leading_titles(words), len(words) - 1)
    end = max(len(words) - trailing_suffixes(words), start + 1)
    core = words[start:end]
    prefix, suffix = " ".join(words[:start]), " ".join(words[end:])
    if len(core) == 1:
        addressed = start > 0 and folded(words[start - 1]) not in GIVEN_TITLES
        # Dr. King, Mr. T: a title goes with the family name; Sir Elton, King Jr.: else one name is a given name.
        return PersonName(
            prefix=prefix, given="" if addressed else core[0], family=core[0] if addressed else "", suffix=suffix
        )
    at = _family_start(core)
    return replace(_called(core[:at]), prefix=prefix, family=" ".join(core[at:]), suffix=suffix)


def _called(words: list[str]) -> PersonName:
    """Read what stands before the family name: all of it may be the given name.

    But an initial or a patronymic after one whole given name is nobody's call name.
    """
    rest = words[1:]
    if rest and not _INITIAL.fullmatch(words[0]) and (_all_initials(rest) or _is_patronymic(" ".join(rest))):
        return PersonName(given=words[0], middle=" ".join(rest))
    return PersonName(given=" ".join(words))


def _all_initials(words: list[str]) -> bool:
    return all(_INITIAL.fullmatch(word) for word in words)


def _family_start(core: list[str]) -> int:
    """Return where the family name begins: at a particle, at the first of two joined names, or at the last word."""
    if core[0].islower() and folded(core[0]) in PARTICLES and core[1][:1].isupper():
        return 0  # "van Gogh" in small letters is no Van Morrison
    # What stands in brackets or quotes, or is a sign, goes with the words before it: a nickname, a note, a flower.
    plain = [at for at, aside in enumerate(_asides(core)) if not aside]
    if len(plain) < 2 or (len(plain) == 2 and folded(core[plain[0]]) in BOUND):
        return len(core)
    if not any(folded(core[at]) in _JOINING for at in plain):
        return plain[-1]
    parsed = PARSER.parse(" ".join(core[at] for at in plain))
    starts = [token.span.start for token in parsed.tokens if token.role is Role.FAMILY and token.span]
    if not starts:
        return len(core)
    at = plain[parsed.original[: min(starts)].count(" ")] if min(starts) else 0
    while at > 1 and folded(core[at - 1]) in _BEFORE_FAMILY:
        at -= 1  # "von und zu"
    return at


def _asides(core: list[str]) -> list[bool]:
    """Tell for each word whether it stands in brackets or quotes that close again, or has no letter or digit."""
    found = [not any(map(str.isalnum, word)) for word in core]
    end = 0
    for at, word in enumerate(core):
        closing = _BRACKETS.get(word[0])
        if closing and at >= end:
            rest = [word[1:], *core[at + 1 :]]
            end = next((at + i + 1 for i, each in enumerate(rest) if each.rstrip(".,").endswith(closing)), end)
        found[at] = found[at] or at < end
    return found
