"""Reading a tree's nodes as what a key wants: each reader gives the value, or None and says why not."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TypeVar

from services.runtime.registry.document import Entry, Items, Node, Table, Text
from services.runtime.registry.problem import Mark, Report, listed, nearest, quoted

T = TypeVar("T", bound=str)
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_UNUSABLE = frozenset({"Cc", "Cs"})
"""Unicode's categories of control characters and of halves of characters."""
_SHAPES = {Text: "one value", Items: "a list", Table: "keys and values"}


class Form:
    """Readers that share a report."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def table(self, node: Node, what: str, example: str) -> Table | None:
        """A mapping with at least one key."""
        if isinstance(node, Table) and node.entries:
            return node
        self._shape(node, what, "keys and values", example)
        return None

    def items(self, node: Node, what: str, example: str) -> Items | None:
        """A list with at least one item."""
        if isinstance(node, Items) and node.items:
            return node
        self._shape(node, what, "a list", example)
        return None

    def text(self, node: Node, what: str, example: str) -> Text | None:
        """A value that isn't empty."""
        if isinstance(node, Text) and node.kind == "faulty":
            return None  # said when it was read
        if isinstance(node, Text) and node.kind != "nothing" and node.value.strip():
            return node
        self._shape(node, what, "one value", example)
        return None

    def line(self, node: Node, what: str, example: str, *, lines: bool = False) -> str | None:
        """What a value says, without spaces around it; `lines`: it may have several."""
        text = self.text(node, what, example)
        if text is None:
            return None
        value = text.value.strip()
        wrong = (c for c in value if unicodedata.category(c) in _UNUSABLE and not (lines and c in "\n\t"))
        if (found := next(wrong, None)) is None:
            return value
        self.report.error(
            node.mark,
            f"{what} holds a line break" if found in "\r\n" else f"{what} holds a character that no app keeps",
            "Write it in one line." if found in "\r\n" else f"Remove the character U+{ord(found):04X}.",
        )
        return None

    def boolean(self, node: Node, what: str, example: str) -> bool | None:
        """True or false."""
        text = self.text(node, what, example)
        if text and text.truth is None:
            self.report.error(node.mark, f"{what} is true or false, not {quoted(text.written)}", f"Write {example}.")
        return text.truth if text else None

    def choice(self, node: Node, what: str, choices: Sequence[T]) -> T | None:
        """One of a few words."""
        text = self.text(node, what, listed(choices, "or"))
        if text is None:
            return None
        for choice in choices:
            if text.value == choice:
                return choice
        meant = nearest(text.written, choices)
        self.report.error(
            node.mark,
            f"{what} can't be {quoted(text.written)}",
            f"Write `{meant}`." if meant else f"Write {listed(choices, 'or')}.",
        )
        return None

    def keys(self, table: Table, what: str, known: Sequence[str], unsupported: Mapping[str, str]) -> None:
        """Refuse keys that a table can't have; `unsupported`: those one might expect, with a remedy."""
        for entry in table.entries:
            if entry.key in known:
                continue
            if instead := unsupported.get(entry.key):
                self.report.error(entry.mark, f"not supported: {quoted(entry.key)} in {what}", instead)
                continue
            meant = nearest(entry.key, known)
            self.report.error(
                entry.mark,
                f"{what} has no key {quoted(entry.key)}",
                f"Did you mean `{meant}`?" if meant else f"Write {listed(known, 'or')}.",
            )

    def name(self, entry: Entry, kind: str) -> str:
        """The name of an account or connection."""
        if not _NAME.fullmatch(entry.key):
            proposal = re.sub(r"[^a-z0-9]+", "-", entry.key.lower())[:40].strip("-")
            self.report.error(
                entry.mark,
                f"{quoted(entry.key)} can't be the name of {kind}: that is up to 40 lower-case letters, "
                "digits and dashes, without a dash at the ends",
                f"Write `{proposal or 'shop'}`.",
            )
        return entry.key

    def missing(self, mark: Mark, what: str, key: str, example: str) -> None:
        """Say that a table lacks a key."""
        self.report.error(mark, f"{what} has no {key}", f"Add `{key}: {example}`.")

    def _shape(self, node: Node, what: str, wanted: str, example: str) -> None:
        empty = not (node.items if isinstance(node, Items) else node.entries if isinstance(node, Table) else False)
        if isinstance(node, Text):
            empty = node.kind == "nothing" or not node.value.strip()
        if empty:
            self.report.error(node.mark, f"{what} is empty", f"Write {example}.")
        else:
            self.report.error(
                node.mark, f"{what} has to be {wanted}, and is {_SHAPES[type(node)]}", f"Write {example}."
            )
