"""The customers of one company, with everything the API enforces about them."""

import copy
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone

from services.connectors.quickbooks.sandbox.refusal import ApiError, Json, not_found, taken
from services.connectors.quickbooks.sandbox.shape import FLAGS, NAMES, OBJECTS, TEXTS, checked
from services.connectors.quickbooks.sandbox.statement import Statement

_PACIFIC = timezone(timedelta(hours=-8))
_KEPT = 30 * 86_400
_MOST = 1000
_DELETED = " (deleted)"


class Customers:
    """The store. `heard` is told of every change: (kind, id, the id merged away or None)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.heard: Callable[[str, str, str | None], None] = _unheard
        self.others: set[str] = set()
        """Names of vendors and employees."""
        self._clock = clock
        self._rows: dict[str, Json] = {}
        self._merged: dict[str, float] = {}
        self._changed: dict[str, float] = {}
        self._last = 0

    def __iter__(self) -> Iterator[Json]:
        return iter(copy.deepcopy(list(self._rows.values())))

    def time(self, seconds: float | None = None) -> str:
        """A moment as the API writes it."""
        moment = datetime.fromtimestamp(self._clock() if seconds is None else seconds, _PACIFIC)
        return moment.isoformat(timespec="milliseconds")

    def get(self, ident: str) -> Json:
        """One customer, inactive or not. Raises ApiError 610."""
        if ident not in self._rows:
            raise not_found()
        return copy.deepcopy(self._rows[ident])

    def create(self, given: Json) -> Json:
        """A new customer. Raises ApiError."""
        body = checked(given)
        if body.get("Id") or body.get("SyncToken") or body.get("sparse"):
            raise ApiError("2010", "A customer that is to be made has no id yet", element="Id")
        name = _tidy(str(body.get("DisplayName", ""))) or _tidy(" ".join(str(body.get(key, "")) for key in NAMES))
        if not name:
            raise ApiError("6080", "No name provided")
        self._free(name, "")
        self._last += 1
        now = self.time()
        row: Json = {
            "Taxable": True,
            "Job": False,
            "BillWithParent": False,
            "Balance": 0,
            "BalanceWithJobs": 0,
            "PreferredDeliveryMethod": "Print",
            "IsProject": False,
            "domain": "QBO",
            "Active": True,
            "PrintOnCheckName": name[:110],
            "Id": str(self._last),
            "SyncToken": "0",
            "MetaData": {"CreateTime": now, "LastUpdatedTime": now},
        }
        self._rows[row["Id"]] = _cleaned(row | body | {"DisplayName": name})
        return self._touched(row["Id"], "created", new=True)

    def update(self, given: Json) -> Json:
        """A change: a sparse one merges, a full one clears what it leaves out. Raises ApiError."""
        body = checked(given)
        ident, row = str(body.get("Id", "")), self._rows.get(str(body.get("Id", "")))
        if row is None:
            raise not_found()
        if "SyncToken" not in body:
            raise ApiError("2020", "Required param missing: SyncToken", element="SyncToken")
        if body["SyncToken"] != row["SyncToken"]:
            raise ApiError("5010", "Stale Object Error: you and somebody else were working on this at the same time")
        active = body.get("Active", row["Active"] if body.get("sparse") else True)
        if not row["Active"] and not active:
            raise not_found()
        name = _tidy(str(body.get("DisplayName", row["DisplayName"])))
        if not name:
            raise ApiError("2020", "Required param missing: DisplayName", element="Customer.DisplayName")
        if active and not row["Active"] and name.endswith(_DELETED):
            name = name.removesuffix(_DELETED)
        if row["Active"] and not active:
            name = self._retired(name)
        self._free(name, ident)
        kept = row if body.get("sparse") else {k: v for k, v in row.items() if k not in {*TEXTS, *OBJECTS, *FLAGS}}
        self._rows[ident] = _cleaned(_merged(kept, body) | {"DisplayName": name, "Active": active})
        return self._touched(ident, "updated")

    def merge(self, ident: str, into: str) -> None:
        """Merge a customer into another one, which keeps what it has."""
        self.get(ident)
        del self._rows[ident]
        self._merged[ident] = self._clock()
        self._changed.pop(ident, None)
        self._touched(into, "merged", ident)

    def bill(self, ident: str) -> None:
        """Change a balance: no new version, but a new time."""
        self._rows[ident]["Balance"] += 10
        self._rows[ident]["MetaData"]["LastUpdatedTime"] = self.time()
        self._changed[ident] = self._clock()

    def query(self, text: str) -> Json:
        """Answer a statement."""
        statement = Statement(text)
        rows = statement.select(self)
        return {"Customer": rows, "startPosition": statement.start, "maxResults": len(rows)} if rows else {}

    def since(self, text: str) -> list[Json]:
        """The changes since a moment, oldest first. Raises ApiError for one that is over 30 days ago."""
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise ApiError("2030", "changedSince isn't a date") from error
        since = (moment if moment.tzinfo else moment.replace(tzinfo=_PACIFIC)).timestamp()
        if since < self._clock() - _KEPT:
            # Which code is answered isn't documented.
            raise ApiError("2030", "changedSince is more than 30 days ago")
        changed = [(at, self._rows[ident]) for ident, at in self._changed.items() if at >= since]
        removed = [(at, self._removed(ident, at)) for ident, at in self._merged.items() if at >= since]
        rows = [row for _, row in sorted([*changed, *removed], key=lambda pair: pair[0])]
        return copy.deepcopy(rows[:_MOST])

    def _removed(self, ident: str, at: float) -> Json:
        return {"domain": "QBO", "status": "Deleted", "Id": ident, "MetaData": {"LastUpdatedTime": self.time(at)}}

    def _free(self, name: str, ident: str) -> None:
        names = {row["DisplayName"].casefold() for row in self._rows.values() if row["Id"] != ident}
        if name.casefold() in names | {other.casefold() for other in self.others}:
            raise taken()

    def _retired(self, name: str) -> str:
        names = {row["DisplayName"] for row in self._rows.values()}
        retired = f"{name}{_DELETED}"
        while retired in names:
            retired += " "
        return retired

    def _touched(self, ident: str, kind: str, deleted: str | None = None, *, new: bool = False) -> Json:
        row = self._rows[ident]
        if not new:
            row["SyncToken"] = str(int(row["SyncToken"]) + 1)
        row["MetaData"]["LastUpdatedTime"] = self.time()
        row["FullyQualifiedName"] = row["DisplayName"]
        row["sparse"] = False
        for n, key in enumerate(("BillAddr", "ShipAddr")):
            if key in row:
                row[key].setdefault("Id", str(int(ident) * 2 + n))
        self._changed[ident] = self._clock()
        self.heard(kind, ident, deleted)
        return copy.deepcopy(row)


def _merged(row: Json, body: Json) -> Json:
    merged = copy.deepcopy(row)
    for key, value in body.items():
        if key not in {"Id", "SyncToken", "sparse", "domain"}:
            merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    return merged


def _cleaned(row: Json) -> Json:
    """What is empty isn't shown."""
    whole = {
        key: {part: text for part, text in value.items() if text != ""} if key in OBJECTS else value
        for key, value in row.items()
    }
    return {key: value for key, value in whole.items() if value not in ("", {})}


def _unheard(kind: str, ident: str, deleted: str | None) -> None:
    """Nobody listens."""


def _tidy(text: str) -> str:
    return " ".join(text.split())
