"""A YAML text as a tree that knows where everything stands. No text makes it raise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from services.runtime.registry import variables
from services.runtime.registry.problem import Mark, Report, quoted

MAX_CHARACTERS = 512 * 1024
MAX_DEPTH = 20
MAX_NODES = 20_000
"""With every alias counted as what it stands for."""

_START = Mark(1, 1)
_STR = "tag:yaml.org,2002:str"
_RESOLVER: Any = yaml.resolver.Resolver()
_KINDS = {"tag:yaml.org,2002:bool": "boolean", "tag:yaml.org,2002:null": "nothing"}
_TRUE = frozenset({"yes", "true", "on"})
_NAMED = re.compile(r"'(?!<)[^']{2,}'")


@dataclass(frozen=True, slots=True)
class Text:
    """A single value. What kind of thing it is, is for whoever asks for it to decide."""

    value: str = field(repr=False)
    """With variables replaced: may be a secret."""
    written: str = field(repr=False)
    """As it stands in the file."""
    kind: str
    """`text` (numbers, too), `boolean` or `nothing`."""
    plain_secret: bool
    """Whether a secret here would stand in the file itself."""
    mark: Mark
    span: tuple[int, int]
    """From which character to which it stands in the text."""
    size: int = 1

    @property
    def truth(self) -> bool | None:
        """The boolean that it is, or None."""
        return self.value.lower() in _TRUE if self.kind == "boolean" else None


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    mark: Mark
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key: value` of a table."""

    key: str
    mark: Mark
    """The key's."""
    value: Node


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping; every key is there once."""

    entries: tuple[Entry, ...]
    mark: Mark
    size: int

    def get(self, key: str) -> Entry | None:
        """The entry under `key`, or None."""
        return next((entry for entry in self.entries if entry.key == key), None)


Node: TypeAlias = Text | Items | Table


class _Stop(Exception):  # noqa: N818 - ends the reading; what was wrong is in the report
    pass


@dataclass(slots=True)
class _Open:
    """A list or a mapping whose end hasn't come yet."""

    table: bool
    mark: Mark
    anchor: str | None
    nodes: list[Node] = field(default_factory=list)
    size: int = 1


def parse(text: str, environ: Mapping[str, str], report: Report) -> Node | None:
    """Read `text` with `${NAME}` from `environ`; what is wrong goes to `report`. None: it has no tree."""
    if len(text) > MAX_CHARACTERS:
        report.error(_START, f"the file is longer than {MAX_CHARACTERS // 1024} KiB", "Is it the right file?")
        return None
    if (at := variables.reserved_at(text)) is not None:
        report.error(_mark_at(text, at), "there is a character here that no text uses", "Remove it.")
        return None
    try:
        return _Builder(environ, report).build(variables.hidden(text))
    except _Stop:
        return None
    except yaml.reader.ReaderError as error:
        report.error(_mark_at(text, error.position), "there is a character here that YAML doesn't allow", "Remove it.")
    except yaml.MarkedYAMLError as error:
        report.error(_mark(error.problem_mark or error.context_mark), *_yaml_trouble(error))
    except (yaml.YAMLError, ValueError, OverflowError):  # e.g. `%YAML 1.999…9` or an escape beyond Unicode
        report.error(_START, "the file isn't YAML", "Write it like the example in the README.")
    return None


class _Builder:
    """Builds the tree from the parser's events, without recursion: depth costs nothing but is limited."""

    def __init__(self, environ: Mapping[str, str], report: Report) -> None:
        self._environ = environ
        self._report = report
        self._open: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}
        self._root: Node | None = None
        self._nodes = 0

    def build(self, text: str) -> Node | None:
        documents = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            mark = _mark(event.start_mark)
            match event:
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        self._report.error(mark, "a second document starts here", "Remove the `---` line.")
                        raise _Stop
                case yaml.ScalarEvent():
                    self._tagless(event.tag, mark)
                    self._add(self._text(event, mark), event.anchor)
                case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                    self._tagless(event.tag, mark)
                    self._begin(_Open(isinstance(event, yaml.MappingStartEvent), mark, event.anchor))
                case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                    done = self._open.pop()
                    self._add(self._table(done) if done.table else self._items(done), done.anchor)
                case yaml.AliasEvent():
                    node = self._alias(event.anchor, mark)
                    self._add(node, None, node.size)
                case _:
                    pass  # the stream's and documents' ends
        if self._root is None:
            self._report.error(_START, "the file is empty", "Write `accounts:` and `connections:`.")
        return self._root

    def _begin(self, opened: _Open) -> None:
        if len(self._open) >= MAX_DEPTH:
            self._report.error(opened.mark, f"more than {MAX_DEPTH} levels inside each other", "Use fewer.")
            raise _Stop
        if opened.anchor:
            self._anchors[opened.anchor] = None
        self._open.append(opened)

    def _add(self, node: Node, anchor: str | None, cost: int = 1) -> None:
        self._nodes += cost
        if self._nodes > MAX_NODES:
            self._report.error(
                node.mark, f"the file has more than {MAX_NODES} values", "Split it, or use fewer aliases."
            )
            raise _Stop
        if anchor:
            self._anchors[anchor] = node
        if self._open:
            self._open[-1].nodes.append(node)
            self._open[-1].size += node.size
        else:
            self._root = node

    def _tagless(self, tag: str | None, mark: Mark) -> None:
        if tag not in {None, "!", _STR}:
            self._report.error(mark, "not supported: tags (`!…`)", "Remove the word that starts with `!`.")

    def _alias(self, anchor: str | None, mark: Mark) -> Node:
        node = self._anchors.get(anchor or "")
        if node is None:
            self._report.error(
                mark,
                "`*` here means a copy of something that wasn't named with `&` before",
                "If it is a text that starts with `*`, put it between quotes.",
            )
            raise _Stop
        return node

    def _text(self, event: yaml.ScalarEvent, mark: Mark) -> Text:
        written = variables.shown(event.value)
        result = variables.resolved(written, self._environ)
        for name in result.missing:
            self._report.error(
                mark,
                f"the environment variable {name} isn't set, or is empty",
                f"Set {name}, or write `${{{name}:-…}}` with what counts without it.",
            )
        if result.broken:
            self._report.error(
                mark,
                "`${` doesn't start a variable's name here",
                "Write `${NAME}`, or `$${` for a plain `${`.",
            )
        kind = "text"
        if event.implicit[0] and event.tag is None:
            kind = _KINDS.get(_RESOLVER.resolve(yaml.ScalarNode, result.value, (True, False)), "text")
        if result.missing or result.broken:
            kind = "faulty"
        span = (_index(event.start_mark), _index(event.end_mark))
        return Text(result.value, written, kind, result.literal or not result.referred, mark, span)

    def _items(self, done: _Open) -> Items:
        return Items(tuple(done.nodes), done.mark, done.size)

    def _table(self, done: _Open) -> Table:
        entries: dict[str, Entry] = {}
        merged: list[Table] = []
        for key, value in zip(done.nodes[::2], done.nodes[1::2], strict=True):
            if not isinstance(key, Text):
                self._report.error(key.mark, "a key has to be one word", "Write `name: value`.")
            elif key.written == "<<":
                merged += self._merged(value)
            elif first := entries.get(key.written):
                self._report.error(
                    key.mark,
                    f"{quoted(key.written)} is given twice; the first is on line {first.mark.line}",
                    "Keep one of them.",
                )
            else:
                entries[key.written] = Entry(key.written, key.mark, value)
        for table in merged:
            for entry in table.entries:
                entries.setdefault(entry.key, entry)
        return Table(tuple(entries.values()), done.mark, done.size)

    def _merged(self, value: Node) -> list[Table]:
        tables = [value] if isinstance(value, Table) else list(value.items) if isinstance(value, Items) else []
        if not tables or not all(isinstance(table, Table) for table in tables):
            self._report.error(value.mark, "`<<` takes over the keys of a named table", "Write `<<: *name`.")
        return [table for table in tables if isinstance(table, Table)]


def _index(mark: Any) -> int:
    at: int = mark.index
    return at


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1) if mark else _START


def _mark_at(text: str, index: int) -> Mark:
    before = text[:index]
    return Mark(before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)


def _yaml_trouble(error: yaml.MarkedYAMLError) -> tuple[str, str]:
    """Message and remedy. YAML's own words, without what they quote: that may be part of a secret."""
    said = error.problem or "it can't be read"
    problem = variables.shown(_NAMED.sub("a word", said))
    if "'\\t'" in said:
        return "a tab stands where YAML wants spaces", "Indent with spaces."
    if "mapping values are not allowed" in problem:
        return (
            "a `:` stands where no value can follow",
            "Check the indentation, and put a text with `: ` in it between quotes.",
        )
    if "cannot start any token" in problem:
        return "a text can't start with this character", "Put it between quotes."
    return (
        f"the file isn't YAML here: {problem}",
        "Check indentation, quotes and brackets around this line.",
    )
