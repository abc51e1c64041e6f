"""The words that rules are written in, and what somebody meant who wrote another one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.contracts.app import Ability, Manifest
from services.runtime.registry.problem import nearest

_TAG = re.compile(r"(?P<verb>[a-z_]*?)_?(?:tags?|labels?|categor(?:y|ies)|groups?)")
_VERBS = {
    "has": "has",
    "is_in": "has",
    "hasnt": "hasnt",
    "has_no": "hasnt",
    "has_not": "hasnt",
    "hasn_t": "hasnt",
    "not_has": "hasnt",
    "without": "hasnt",
    "lacks": "hasnt",
    "add": "add",
    "set": "add",
    "remove": "remove",
    "delete": "remove",
    "unset": "remove",
}
_NEGATIVE = re.compile(
    r"(?:^|_)(?:no|not|hasnt|hasn|isnt|isn|doesnt|doesn|dont|without|lacks|remove|delete)(?:_|$)|^un|^not"
)


@dataclass(frozen=True, slots=True)
class Written:
    """A condition's or an action's words as the file has them: nothing that came from a variable."""

    key: str
    value: str

    def __str__(self) -> str:
        return f"{self.key}: {self.value}" if self.value else self.key


def conditions(manifest: Manifest) -> list[str]:
    """Return the words of the conditions that an app's contacts can be asked for."""
    words = ["field"]
    if Ability.TAG in manifest.abilities:
        words += [f"has_{manifest.tag_word}", f"hasnt_{manifest.tag_word}"]
    if Ability.SUBSCRIPTIONS in manifest.abilities:
        words += ["subscribed_to", "not_subscribed_to", "has_subscription", "has_no_subscription"]
    return [*words, "exists_on_other_side"]


def actions(manifest: Manifest) -> list[str]:
    """Return the words of what can be done to an app's contacts."""
    words: list[str] = []
    if Ability.TAG in manifest.abilities and not manifest.tags:
        words += [f"add_{manifest.tag_word}", f"remove_{manifest.tag_word}"]
    words += [f"update_{path}" for path in manifest.texts]
    if any(field.guarded and field.type == "email" for field in manifest.fields):
        words.append("update_email")
    return words


def meant(word: str, known: Sequence[str], tag_word: str) -> str | None:
    """Return the known word that `word` was probably meant to be, never its opposite, or None."""
    folded = word.lower().replace("-", "_").replace("'", "").replace(" ", "_")
    if found := _TAG.fullmatch(folded):
        tagged = f"{_VERBS.get(found['verb'], '')}_{tag_word}"
        return tagged if tagged in known else None
    proposal = nearest(folded, known)
    if proposal is None or bool(_NEGATIVE.search(proposal)) != bool(_NEGATIVE.search(folded)):
        return None
    return proposal
