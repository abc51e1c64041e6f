"""Customer search: its query language, and an index that lags behind the customers.

https://docs.stripe.com/search and https://docs.stripe.com/api/customers/search
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from services.connectors.stripe.sandbox.fields import Kind, Text, Texts, Whole, clean
from services.connectors.stripe.sandbox.form import Tree
from services.connectors.stripe.sandbox.refusal import ApiError, Json

_QUOTED = r"""(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')"""
_CLAUSE = re.compile(
    rf"""\s*(?:(?P<join>AND|OR)\s+)?(?P<minus>-)?(?P<field>[a-z_]+)(?:\[{_QUOTED}\])?"""
    rf"""(?P<operator>:|~|<=|>=|<|>)(?:{_QUOTED}|(?P<bare>null|-?[0-9]+))(?=\s|\Z)""",
    re.IGNORECASE,
)
_PARAMS: Mapping[str, Kind] = {
    "query": Text(clears=False),
    "limit": Whole(1, 100),
    "page": Text(clears=False),
    "expand": Texts(),
}
_FIELDS = ("email", "name", "phone", "created", "metadata")


@dataclass(frozen=True)
class Clause:
    """One condition of a query."""

    field: str
    key: str | None
    operator: str
    value: str | int | None
    negated: bool

    def matches(self, row: Json) -> bool:
        """Whether a customer meets it. Text is compared without regard to case, metadata with it."""
        present = row["metadata"].get(self.key) if self.field == "metadata" else row.get(self.field)
        return self._meets(present) is not self.negated

    def _meets(self, present: Any) -> bool:
        match self.value:
            case None:
                # `metadata["k"]:null` asks whether the key is missing; with a minus, whether it is there.
                return present is None
            case int() as number:
                return isinstance(present, int) and _compared(present, self.operator, number)
            case str() as text:
                if not isinstance(present, str):
                    return False
                if self.field != "metadata":
                    present, text = present.casefold(), text.casefold()
                return text in present if self.operator == "~" else text == present


def _compared(left: int, operator: str, right: int) -> bool:
    match operator:
        case "<":
            return left < right
        case ">":
            return left > right
        case "<=":
            return left <= right
        case ">=":
            return left >= right
        case _:
            return left == right


def _wrong(query: str, why: str) -> ApiError:
    return ApiError(f"We were unable to parse your search query {query!r}: {why}.", param="query")


def parsed(query: str) -> tuple[Callable[[list[bool]], bool], list[Clause]]:
    """A query as its clauses and how they combine (`all` or `any`). Raises ApiError (400)."""
    clauses: list[Clause] = []
    joins: set[str] = set()
    at = 0
    while at < len(query.rstrip()):
        found = _CLAUSE.match(query, at)
        if found is None:
            raise _wrong(query, f"it isn't a clause from character {at + 1} on")
        join = (found["join"] or "").upper()
        if bool(join) and not clauses:
            raise _wrong(query, f"it begins with {join}")
        if clauses:
            joins.add(join or "AND")
        clauses.append(_clause(found, query))
        at = found.end()
    if not clauses:
        raise _wrong(query, "it is empty")
    if len(joins) > 1:
        raise _wrong(query, "AND and OR can't be used together")
    return (any if joins == {"OR"} else all), clauses


def _clause(found: re.Match[str], query: str) -> Clause:
    field, operator = found["field"], found["operator"]
    key = _unquoted(found[4], found[5])
    if field not in _FIELDS or (field == "metadata") is not (key is not None):
        raise _wrong(query, f"customers can't be searched by {field}")
    bare = found["bare"]
    value: str | int | None = _unquoted(found[7], found[8])
    if bare is not None:
        value = None if bare.lower() == "null" else int(bare)
    if (value is None and operator != ":") or (isinstance(value, str) and operator not in (":", "~")):
        raise _wrong(query, f"{operator} doesn't go with this value")
    if operator == "~" and (not isinstance(value, str) or len(value) < 3 or field == "metadata"):
        raise _wrong(query, "~ takes text of three characters or more, and not for metadata")
    return Clause(field, key, operator, value, found["minus"] is not None)


def _unquoted(double: str | None, single: str | None) -> str | None:
    text = double if double is not None else single
    return None if text is None else re.sub(r"\\(.)", r"\1", text)


class Index:
    """What the search knows: each customer as it was `delay` seconds ago."""

    def __init__(self, clock: Callable[[], float], delay: float) -> None:
        self.delay = delay
        self._clock = clock
        self._history: dict[str, list[tuple[float, Json | None]]] = {}

    def put(self, found: str, row: Json | None) -> None:
        """A customer's new state; None when it is gone."""
        now = self._clock()
        history = self._history.setdefault(found, [])
        history.append((now, deepcopy(row)))
        # What is older than the newest visible state will never be asked for again.
        while len(history) > 1 and history[1][0] + self.delay <= now:
            del history[0]

    def visible(self) -> list[Json]:
        """The customers that the search can see, newest first."""
        now = self._clock()
        rows = []
        for history in self._history.values():
            seen = [row for at, row in history if at + self.delay <= now]
            if seen and seen[-1] is not None:
                rows.append(seen[-1])
        return rows[::-1]

    def search(self, tree: Tree) -> Json:
        """GET /v1/customers/search."""
        params = clean(tree, _PARAMS, ("query",))
        combine, clauses = parsed(params["query"])
        rows = [row for row in self.visible() if combine([clause.matches(row) for clause in clauses])]
        start = _opened(params["page"], params["query"]) if "page" in params else 0
        end = start + params.get("limit", 10)
        more = len(rows) > end
        return {
            "object": "search_result",
            "url": "/v1/customers/search",
            "has_more": more,
            "next_page": _sealed(end, params["query"]) if more else None,
            "data": rows[start:end],
        }


def _sealed(start: int, query: str) -> str:
    return base64.urlsafe_b64encode(f"{start}:{query}".encode()).decode()


def _opened(token: str, query: str) -> int:
    try:
        start, _, asked = base64.urlsafe_b64decode(token).decode().partition(":")
        if asked == query:
            return int(start)
    except (binascii.Error, ValueError):
        pass
    raise ApiError("Invalid page token: it belongs to another query, or to none.", param="page")
