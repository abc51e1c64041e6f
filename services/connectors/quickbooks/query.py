"""Statements of the API's query language.

https://developer.intuit.com/app/developer/qbo/docs/learn/explore-the-quickbooks-online-api/data-queries: no OR, no
projections, `%` as the only wildcard, pages of up to 1,000; a backslash goes before an apostrophe
(https://blogs.intuit.com/2014/03/20/advanced-sql-queries).
"""

from collections.abc import Iterable
from datetime import UTC, datetime

PAGE = 1000
_EVERYBODY = "Active IN (true, false)"
"""Without it a statement sees active customers only."""


def everybody(start: int) -> str:
    """All customers, also inactive ones, from a position (the first is 1) on."""
    return f"SELECT * FROM Customer WHERE {_EVERYBODY} ORDERBY Id STARTPOSITION {start} MAXRESULTS {PAGE}"  # noqa: S608


def called(names: Iterable[str]) -> str:
    """Customers, also inactive ones, with one of these DisplayNames."""
    listed = ", ".join(quoted(name) for name in names)
    return f"SELECT * FROM Customer WHERE DisplayName IN ({listed}) AND {_EVERYBODY} MAXRESULTS {PAGE}"  # noqa: S608


def addressed(address: str) -> str:
    """Active customers whose e-mail field has this text in it; exactly this text if a wildcard is part of it."""
    if "%" in address:
        return f"SELECT * FROM Customer WHERE PrimaryEmailAddr = {quoted(address)} MAXRESULTS {PAGE}"  # noqa: S608
    return f"SELECT * FROM Customer WHERE PrimaryEmailAddr LIKE {quoted(f'%{address}%')} MAXRESULTS {PAGE}"  # noqa: S608


def made_since(moment: int, start: int) -> str:
    """Customers made since then (microseconds since 1970), also inactive ones, from a position on."""
    since = f"MetaData.CreateTime >= {quoted(timestamp(moment))}"
    return f"SELECT * FROM Customer WHERE {since} AND {_EVERYBODY} ORDERBY Id STARTPOSITION {start} MAXRESULTS {PAGE}"  # noqa: S608


def quoted(text: str) -> str:
    """The text as a value of the language."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def timestamp(moment: int) -> str:
    """A moment (microseconds since 1970) as the API writes them, with its offset, to the second below."""
    return datetime.fromtimestamp(moment // 1_000_000, UTC).isoformat(timespec="seconds")
