"""The `then` of a rule: its actions, against what can be done in the app of the other side."""

from __future__ import annotations

from dataclasses import dataclass

from services.contracts.app import Manifest
from services.contracts.contact import Side
from services.contracts.rule import Action, PermitEmail, SetTag, SetText
from services.runtime.registry import wording
from services.runtime.registry.document import Entry, Node, Text
from services.runtime.registry.form import Form
from services.runtime.registry.pair import OTHER, Pair
from services.runtime.registry.places import RESERVED
from services.runtime.registry.problem import Mark, Report, listed, nearest, quoted
from services.runtime.registry.wording import Written

EMAIL = "update_email"
_UPDATE = "update_"


@dataclass(frozen=True, slots=True)
class Ordered:
    """An action, where it stands and how it is written."""

    action: Action
    mark: Mark
    written: Written


class Actions:
    """Reads the actions of rules."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._report: Report = form.report

    def read(self, node: Node, pair: Pair, source: Side) -> list[Ordered]:
        """Every action that can be made out; those in an app that is unknown can't be."""
        target = OTHER[source]
        manifest = pair.apps.get(target)
        words = wording.actions(manifest) if manifest else []
        if manifest and not words:
            self._report.error(
                node.mark, f"nothing can be done in {pair.told(target)}: it has no actions", "Remove `then`."
            )
            return []
        items = self._form.items(node, f"`then` in a rule of {pair.what}", f"`[{_example(words)}]`, or remove it")
        if items is None or manifest is None:
            return []
        read = [self._action(item, pair, target, manifest) for item in items.items]
        return [ordered for ordered in read if ordered]

    def _action(self, node: Node, pair: Pair, target: Side, manifest: Manifest) -> Ordered | None:
        what = f"an action of {pair.what}"
        words = wording.actions(manifest)
        if isinstance(node, Text) and node.kind == "text" and node.value.strip():
            word = node.value.strip()
            if word == EMAIL and EMAIL in words:
                return Ordered(PermitEmail(), node.mark, Written(EMAIL, ""))
            if word in words:
                self._report.error(node.mark, f"{quoted(word)} of {pair.what} has no value", _valued(word, manifest))
                return None
            self._unknown(word, node.written, node.mark, pair, target)
            return None
        table = self._form.table(node, what, f"`{_example(words)}`")
        if table is None:
            return None
        if len(table.entries) > 1:
            keys = listed(entry.key for entry in table.entries)
            self._report.error(
                table.entries[1].mark, f"{what} holds {keys} at once", "Write each as an item of its own."
            )
            return None
        return self._word(table.entries[0], pair, target, manifest)

    def _word(self, entry: Entry, pair: Pair, target: Side, manifest: Manifest) -> Ordered | None:
        word, what = entry.key, f"{quoted(entry.key)} of {pair.what}"
        verb, _, rest = word.partition("_")
        written = Written(word, entry.value.written.strip() if isinstance(entry.value, Text) else "")
        if verb in {"add", "remove"} and rest == manifest.tag_word and manifest.tags:
            self._report.error(
                entry.mark,
                f"{pair.told(target)} has no {rest}s but those that contactsync sets itself: {listed(manifest.tags)}",
                f"Write {listed(wording.actions(manifest), 'or')}.",
            )
            return None
        if word not in wording.actions(manifest):
            self._unknown(word, word, entry.mark, pair, target)
            return None
        if word == EMAIL:
            if isinstance(entry.value, Text) and (entry.value.kind == "nothing" or entry.value.truth):
                return Ordered(PermitEmail(), entry.mark, Written(EMAIL, ""))
            self._report.error(
                entry.value.mark,
                f"{what} takes no value: the addresses are the contacts' own",
                f"Write `{EMAIL}` alone, or remove it to have changed addresses held.",
            )
            return None
        if verb == "update":
            text = self._form.line(entry.value, what, "the text", lines=True)
            fits = text is not None and self._fits(entry, text, rest, pair, target, manifest)
            return Ordered(SetText(path=rest, text=text), entry.mark, written) if text is not None and fits else None
        name = self._form.line(entry.value, what, f"the name of a {manifest.tag_word}")
        if name is None:
            return None
        if reserved := next((each for each in RESERVED if each.casefold() == name.casefold()), None):
            self._report.error(
                entry.value.mark,
                f"{quoted(reserved)} is set and removed by contactsync itself, never by a rule",
                f"Choose another name for the {manifest.tag_word}.",
            )
            return None
        return Ordered(SetTag(name=name, present=verb == "add"), entry.mark, written)

    def _fits(self, entry: Entry, text: str, path: str, pair: Pair, target: Side, manifest: Manifest) -> bool:
        field = manifest.field(path)
        longest = field.max_length if field else None
        if longest is None or len(text) <= longest:
            return True
        self._report.error(
            entry.value.mark,
            f"{pair.told(target)} takes at most {longest} characters in `{path}`, and this text has {len(text)}",
            "Shorten it.",
        )
        return False

    def _unknown(self, word: str, written: str, mark: Mark, pair: Pair, target: Side) -> None:
        manifest = pair.apps[target]
        words = wording.actions(manifest)
        message = f"{pair.told(target)} has no action {quoted(written)}"
        other = pair.apps.get(OTHER[target])
        update = word.startswith(_UPDATE)
        meant = _field_meant(word, manifest) if update else wording.meant(word, words, manifest.tag_word)
        if meant:
            remedy = f"Did you mean `{meant}`?"
        elif other and word in wording.actions(other):
            message += f"; {pair.told(OTHER[target])} has"
            remedy = (
                f"A rule acts on the other side: write it in a rule `from: {target}`, or one of {listed(words, 'or')}."
            )
        else:
            remedy = f"Write {listed(words, 'or')}."
        self._report.error(mark, message, remedy)


def _field_meant(word: str, manifest: Manifest) -> str | None:
    """The `update_…` that was probably meant: called by another app's name of the field, or misspelt."""
    wanted = word.removeprefix(_UPDATE)
    known = [each.removeprefix(_UPDATE) for each in wording.actions(manifest) if each.startswith(_UPDATE)]
    same = (field.path for field in manifest.fields if field.canonical == wanted and field.path in known)
    found = next(same, None) or nearest(wanted, known)
    return f"{_UPDATE}{found}" if found else None


def _example(words: list[str]) -> str:
    word = words[0] if words else "add_tag"
    if word == EMAIL:
        return word
    return f"{{{word}: {'TEXT' if word.startswith('update_') else 'NAME'}}}"


def _valued(word: str, manifest: Manifest) -> str:
    value = "TEXT" if word.startswith(_UPDATE) else f"NAME-OF-A-{manifest.tag_word.upper()}"
    return f"Write `{{{word}: {value}}}`."
