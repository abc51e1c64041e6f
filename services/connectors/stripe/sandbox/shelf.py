"""Objects of one kind, oldest first, and the pages a list answers from them."""

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from services.connectors.stripe.sandbox.fields import Kind, Span, Text, Texts, Whole
from services.connectors.stripe.sandbox.refusal import ApiError, Json, no_such

PAGING: Mapping[str, Kind] = {
    "limit": Whole(1, 100),  # https://docs.stripe.com/api/pagination
    "starting_after": Text(clears=False),
    "ending_before": Text(clears=False),
    "created": Span(),
    "expand": Texts(),
}


class Shelf(Mapping[str, Json]):
    """The live objects of one kind by id. Reading it gives copies: for oracles."""

    def __init__(self, noun: str, url: str) -> None:
        self.noun = noun
        self.url = url
        self._rows: dict[str, Json] = {}
        self._order: dict[str, int] = {}

    def __getitem__(self, found: str) -> Json:
        return deepcopy(self._rows[found])

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def made(self) -> tuple[str, ...]:
        """The ids of everything ever made, oldest first, deleted ones too."""
        return tuple(self._order)

    def put(self, row: Json) -> None:
        """Keep a new object, or the new state of one."""
        self._order.setdefault(row["id"], len(self._order))
        self._rows[row["id"]] = row

    def take(self, found: str) -> Json:
        """Remove an object; its place in the order stays, so that it still serves as a cursor."""
        return self._rows.pop(found)

    def row(self, found: str, *, param: str = "id", status: int = 404) -> Json:
        """The object itself, not a copy. Raises ApiError resource_missing."""
        if found not in self._rows:
            raise no_such(self.noun, found, param=param, status=status)
        return self._rows[found]

    def page(self, params: Mapping[str, Any], keep: Callable[[Json], bool] = lambda _: True) -> Json:
        """A page of the list, newest first: those that `keep` accepts, within the cleaned paging parameters.

        `ending_before` gives the page just before the cursor (its neighbours, not the newest ones).
        """
        after, before = params.get("starting_after"), params.get("ending_before")
        if after and before:
            message = "You may give starting_after or ending_before, not both."
            raise ApiError(message, code="parameters_exclusive", param="ending_before")
        span = params.get("created") or {}
        rows = [row for row in self._rows.values() if keep(row) and within(row["created"], span)]
        limit = params.get("limit", 10)
        if before:
            newer = [row for row in rows if self._order[row["id"]] > self._place(before, "ending_before")]
            return self._listed(newer[:limit][::-1], more=len(newer) > limit)
        if after:
            rows = [row for row in rows if self._order[row["id"]] < self._place(after, "starting_after")]
        return self._listed(rows[::-1][:limit], more=len(rows) > limit)

    def _place(self, cursor: str, param: str) -> int:
        if cursor not in self._order:
            raise no_such(self.noun, cursor, param=param, status=400)
        return self._order[cursor]

    def _listed(self, rows: list[Json], *, more: bool) -> Json:
        return {"object": "list", "url": self.url, "has_more": more, "data": rows}


def within(moment: int, span: Mapping[str, int]) -> bool:
    """Whether a moment lies in a range of gt, gte, lt, lte."""
    return (
        moment > span.get("gt", moment - 1)
        and moment >= span.get("gte", moment)
        and moment < span.get("lt", moment + 1)
        and moment <= span.get("lte", moment)
    )
