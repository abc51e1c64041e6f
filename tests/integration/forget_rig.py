"""Where something of a person who was to be forgotten is still found."""

from __future__ import annotations

from pathlib import Path

from services.runtime.archive.reading import Archive
from services.runtime.store import Store

PHONE = "+12025550177"
TRACES = ("Grace Quillfeather", "Quillfeather", "grace@quill.example", "2025550177")
_TABLES = """
SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
 WHERE schemaname IN ('registry', 'ingest', 'sync', 'connectors', 'log')
"""


async def traces(store: Store, *more: str) -> list[str]:
    """Where the person, or `more`, is still found: table and what of them, in texts and in bytes."""
    found = []
    for table in await store.fetch(_TABLES):
        for text in (*TRACES, *more):
            forms = text, text.encode().hex()
            query = f"SELECT count(*) FROM {table['name']} r WHERE strpos(r::text, $1) + strpos(r::text, $2) > 0"  # noqa: S608
            if await store.fetchval(query, *forms):
                found.append(f"{table['name']}: {text}")
    return found


def held(path: Path) -> bool:
    """Whether an archive holds anything of the person."""
    archive = Archive(path)
    lines = (line for part in archive.manifest.parts for line in archive.lines(part))
    return any(text.encode() in line for line in lines for text in TRACES)
