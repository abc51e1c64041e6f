"""A changed text into the parts that a name has already: a word that stays keeps its part, only what changed moves."""

from difflib import SequenceMatcher
from typing import Literal, TypeAlias, cast

from services.contracts.contact import PersonName
from services.sync.core.names.reading import MAX_WORDS, leading_titles, natural, parse, trailing_suffixes
from services.sync.core.names.spoken import clean, is_native, join, order
from services.sync.core.names.words import PARTICLES, folded

_Part: TypeAlias = Literal["prefix", "given", "middle", "family", "suffix"]
_PARTS: tuple[_Part, ...] = ("prefix", "given", "middle", "family", "suffix")
_NAMES: frozenset[_Part] = frozenset({"given", "middle", "family"})
_Word: TypeAlias = tuple[_Part, str]
"""A word and the part it belongs to."""


def split(text: str, present: PersonName | None, before: str | None = None) -> PersonName:
    """Return `text` in parts, keeping every part of `present` that the text still shows.

    `before` is what the text's side said when both last agreed: None if that was `join(present)`, "" if they never
    did. It tells the two orders apart: where `before` was "Nagy János" for given János, family Nagy, or was nothing
    yet, a family name first stays one; where it was "János Nagy", "Nagy János" is a change like any other.
    """
    text = clean(text)
    if not text:
        return PersonName()
    if present is None or not any(getattr(present, part) for part in _PARTS):
        return present if present is not None and says(text, present) else parse(text)
    if says(text, present):
        return present
    swapped = join(present, swapped=True)
    if before is not None and clean(before) in ("", swapped):
        if text == swapped:
            return present
        if before and (kept := _changed(text.split(), _words(present, swapped=True))) is not None:
            return kept
    words = text if "," in join(present) else natural(text)
    kept = _changed(words.split(), _words(present))
    # Parts that don't join to the text again, as where the order turns with the script, are no good.
    return kept if kept is not None and join(kept) == words else parse(text)


def says(text: str, name: PersonName) -> bool:
    """Whether the text says the name, in any of the forms that are read as these very parts."""
    text, joined = clean(text), join(name)
    if joined in (text, natural(text)):
        return True
    # Names in Han, kana or hangul are written with a blank between them or without.
    return " " not in text and is_native(text) and text == joined.replace(" ", "")


def told(name: PersonName, present: str) -> str:
    """Return the name as one text: as `present`, which the target holds, where that says the same; else joined."""
    return present if says(present, name) else join(name)


def _words(name: PersonName, *, swapped: bool = False) -> list[_Word]:
    parts = cast("tuple[_Part, ...]", order(name, swapped=swapped))
    return [(part, word) for part in parts for word in clean(getattr(name, part)).split()]


def _changed(words: list[str], old: list[_Word]) -> PersonName | None:
    """Give the new words their parts by what stood there; None if no word of the name itself stays."""
    if len(words) > MAX_WORDS or len(old) > MAX_WORDS:
        return None
    titles, suffixes = leading_titles(words), len(words) - trailing_suffixes(words)
    before = [word for _, word in old]
    if words != before and sorted(words) == sorted(before):
        return None  # the same words in another order: which of them stayed is anybody's guess
    blocks = SequenceMatcher(None, before, words, autojunk=False).get_opcodes()
    found: list[_Word] = []
    for kind, i1, i2, j1, j2 in blocks:
        if kind == "equal":
            found += old[i1:i2]
            continue
        # What is new at the edges may be a title or a suffix; what stays is what it was, though it may look like one.
        left = old[i1 - 1][0] if i1 else None
        right = old[i2][0] if i2 < len(old) else None
        start = min(titles, j2) if left in (None, "prefix") else j1
        end = max(suffixes, j1) if right in (None, "suffix") else j2
        start = max(start, j1)
        end = min(max(end, start), j2)
        new = words[start:end]
        found += [("prefix", word) for word in words[j1:start]]
        if new:
            gone = [part for part, _ in old[i1:i2] if part in _NAMES]
            found += _placed(new, gone, left, right)
        found += [("suffix", word) for word in words[end:j2]]
    if not any(part in _NAMES for kind, i1, i2, _, _ in blocks if kind == "equal" for part, _ in old[i1:i2]):
        return None
    return PersonName(**{part: " ".join(word for at, word in found if at == part) for part in _PARTS})


def _placed(new: list[str], gone: list[_Part], left: _Part | None, right: _Part | None) -> list[_Word]:
    """Give new words, no titles or suffixes, the parts of those that went, or of their neighbours."""
    if len(gone) == len(new):
        return list(zip(gone, new, strict=True))
    if len(set(gone)) == 1:
        return [(gone[0], word) for word in new]
    if gone:
        return _shared(new, sorted(set(gone), key=gone.index))
    if left == right and left is not None:
        return [(left, word) for word in new]
    if left in (None, "prefix"):
        # Before everything: more of the first name, or the given name that was missing.
        return [("given" if right in (None, "suffix", "family") else right, word) for word in new]
    if right in (None, "suffix"):
        return [(left, word) for word in new] if left == "family" else _shared(new, ["middle", "family"])
    # Between two names: a particle belongs to the family name, anything else is a middle name.
    part: _Part = "family" if right == "family" and folded(new[0]) in PARTICLES else "middle"
    return [(part, word) for word in new]


def _shared(new: list[str], parts: list[_Part]) -> list[_Word]:
    """Share words among several parts in their order: the last takes what a family name would, or one word."""
    if "family" not in parts:
        return [(parts[min(at, len(parts) - 1)], word) for at, word in enumerate(new)]
    read = parse(" ".join(new))
    family = len(read.family.split()) or 1
    rest = len(new) - family
    first = next(part for part in parts if part != "family")
    if parts[0] == "family":
        return [("family" if at < len(new) - rest else first, word) for at, word in enumerate(new)]
    return [(first if at < rest else "family", word) for at, word in enumerate(new)]
