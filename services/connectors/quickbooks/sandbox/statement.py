"""The query language, as much of it as customers are asked for with; everything else is refused."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.connectors.quickbooks.sandbox.refusal import ApiError, Json

MOST = 1000
USUAL = 100
"""Rows of an answer where the statement doesn't say."""
_TIMES = ("MetaData.CreateTime", "MetaData.LastUpdatedTime")
_SORTABLE = ("Id", "DisplayName", "GivenName", "MiddleName", "FamilyName", "CompanyName", "Active", *_TIMES)
_FILTERABLE = (*_SORTABLE, "PrimaryEmailAddr")
_TOKEN = re.compile(r"\s*(?:'((?:[^'\\]|\\.)*)'|([A-Za-z][A-Za-z.]*|[0-9]+)|(<=|>=|[=<>(),*]))")
_OPERATORS = ("=", "<", ">", "<=", ">=", "LIKE", "IN")


@dataclass(frozen=True)
class Text:
    """A value in quotes."""

    value: str


@dataclass(frozen=True)
class Condition:
    """One of the WHERE clause; all of them have to hold."""

    name: str
    operator: str
    values: tuple[str, ...]

    def holds(self, row: Json) -> bool:
        """Whether the row fulfils it. Texts compare without regard to case."""
        own, values = _value(row, self.name), [_comparable(self.name, value) for value in self.values]
        match self.operator:
            case "IN":
                return own in values
            case "LIKE":
                parts = [re.escape(part) for part in str(values[0]).split("%")]
                return re.fullmatch(".*".join(parts), str(own), re.DOTALL) is not None
            case "=":
                return bool(own == values[0])
            case "<":
                return bool(own < values[0])
            case ">":
                return bool(own > values[0])
            case "<=":
                return bool(own <= values[0])
            case _:
                return bool(own >= values[0])


class Statement:
    """One statement. Raises ApiError 4000 for what isn't one."""

    def __init__(self, text: str) -> None:
        self._left = list(_tokens(text))
        self.conditions: list[Condition] = []
        self.order = "Id"
        self.start = 1
        self.most = USUAL
        self._parse()

    def select(self, rows: Iterable[Json]) -> list[Json]:
        """The rows it asks for: active ones only, unless it says which."""
        conditions = list(self.conditions)
        if not any(condition.name == "Active" for condition in conditions):
            conditions.append(Condition("Active", "=", ("true",)))
        found = [row for row in rows if all(condition.holds(row) for condition in conditions)]
        found.sort(key=lambda row: (_value(row, self.order), int(row["Id"])))
        return found[self.start - 1 : self.start - 1 + self.most]

    def _parse(self) -> None:
        for word in ("SELECT", "*", "FROM"):
            self._expect(word)
        if self._next() != "Customer":
            raise _wrong("only customers are here")
        if self._took("WHERE"):
            self.conditions.append(self._condition())
            while self._took("AND"):
                self.conditions.append(self._condition())
        if self._took("ORDERBY"):
            self.order = self._name(_SORTABLE)
        if self._took("STARTPOSITION"):
            self.start = self._number(1, 10**9)
        if self._took("MAXRESULTS"):
            self.most = self._number(1, MOST)
        if self._left:
            raise _wrong(f"nothing more was expected at {self._left[0]}")

    def _condition(self) -> Condition:
        name, operator = self._name(_FILTERABLE), str(self._next()).upper()
        if operator not in _OPERATORS:
            raise _wrong(f"{operator} isn't an operator")
        if operator != "IN":
            return Condition(name, operator, (self._value(),))
        self._expect("(")
        values = [self._value()]
        while self._took(","):
            values.append(self._value())
        self._expect(")")
        return Condition(name, operator, tuple(values))

    def _value(self) -> str:
        token = self._next()
        if isinstance(token, Text):
            return token.value
        if token.lower() not in {"true", "false"}:
            raise _wrong("a value stands in quotes")
        return token.lower()

    def _name(self, allowed: Iterable[str]) -> str:
        token = self._next()
        if isinstance(token, Text) or token not in allowed:
            raise ApiError("4001", "QueryValidationError: property isn't queryable", kind="ValidationFault")
        return token

    def _number(self, least: int, most: int) -> int:
        token = self._next()
        if isinstance(token, Text) or not token.isdigit() or not least <= int(token) <= most:
            raise _wrong(f"a number from {least} to {most} was expected")
        return int(token)

    def _next(self) -> str | Text:
        if not self._left:
            raise _wrong("the statement ends too early")
        return self._left.pop(0)

    def _expect(self, word: str) -> None:
        if not self._took(word):
            raise _wrong(f"{word} was expected")

    def _took(self, word: str) -> bool:
        found = bool(self._left) and isinstance(self._left[0], str) and self._left[0].upper() == word
        if found:
            self._left.pop(0)
        return found


def _tokens(text: str) -> Iterable[str | Text]:
    at = 0
    while at < len(text.rstrip()):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _wrong(f"unexpected character at {at}")
        at = found.end()
        quoted, word, sign = found.groups()
        yield Text(re.sub(r"\\(.)", r"\1", quoted)) if quoted is not None else word or sign


def _wrong(why: str) -> ApiError:
    return ApiError("4000", f"QueryParserError: {why}")


def _value(row: Json, name: str) -> Any:
    found: Any = row
    for part in name.split("."):
        found = found.get(part, "") if isinstance(found, dict) else ""
    if isinstance(found, dict):
        found = found.get("Address", "")
    return _comparable(name, found)


def _comparable(name: str, value: Any) -> Any:
    if name in _TIMES:
        return datetime.fromisoformat(str(value))
    kind: Callable[[Any], Any] = int if name == "Id" else lambda text: str(text).casefold()
    return kind(value)
