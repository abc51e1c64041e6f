"""A name as it is spoken: one text, its parts in their order."""

import re
import unicodedata

from services.contracts.contact import PersonName

# Han, kana and hangul, by their Unicode blocks (https://www.unicode.org/Public/UNIDATA/Blocks.txt).
_NATIVE = re.compile(
    r"[\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\U00020000-\U000323af]+"
)
_KATAKANA = re.compile(r"[\u30a0-\u30ff]+")


def tidy(text: str) -> str:
    """Return the text without outer blanks and with single blanks inside."""
    return " ".join(text.split())


def clean(text: str) -> str:
    """Return the text tidy and composed (NFC), which is how two spellings of one letter compare."""
    return tidy(unicodedata.normalize("NFC", text))


def is_native(text: str) -> bool:
    """Whether every word is written in Han, kana or hangul, the scripts in which the family name stands first."""
    return _NATIVE.fullmatch(text.replace(" ", "")) is not None


def leads(word: str) -> bool:
    """Whether the word can be a family name that stands first: katakana alone also spells foreign given names."""
    return is_native(word) and _KATAKANA.fullmatch(word.replace(" ", "")) is None


def order(name: PersonName, *, swapped: bool = False) -> tuple[str, ...]:
    """Return the parts' field names in the order in which the name is spoken; `swapped`, in the other order."""
    family_first = (leads(clean(name.family)) and is_native(clean(name.given))) != swapped
    if family_first:
        return ("prefix", "family", "given", "middle", "suffix")
    return ("prefix", "given", "middle", "family", "suffix")


def join(name: PersonName, *, swapped: bool = False) -> str:
    """Return the name as one text: its parts in order, or its display form where it has no parts.

    Family first where both names are in Han, kana or hangul; else given first, as no Latin text says which order
    its owner uses. `swapped` gives the other order.
    """
    return clean(" ".join(getattr(name, part) for part in order(name, swapped=swapped))) or clean(name.full)
