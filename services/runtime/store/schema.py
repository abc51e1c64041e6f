"""The schema as one text: what all migrations add up to. `python -m services.runtime.store.schema` writes it anew."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import asyncpg

from services.runtime.store.embedded import EmbeddedPostgres
from services.runtime.store.installation import bundled_programs
from services.runtime.store.migrate import migrate

FILE = Path(__file__).with_name("schema.sql")
_HEAD = (
    "-- What the migrations add up to. Written by `python -m services.runtime.store.schema`; not applied by anyone.\n"
)
_NOISE = re.compile(r"^(--.*|SET .*;|SELECT pg_catalog\.set_config\(.*;|\\(un)?restrict .*)$")


def dump(dsn: str) -> str:
    """The normalised schema of the database at `dsn`: pg_dump's statements without comments and session settings.

    Blocking; needs a server of the bundled major version or older.
    """
    command: list[str | Path] = [bundled_programs() / "pg_dump", "--schema-only", "--no-owner", "--no-privileges"]
    command += ["--exclude-table", "public.contactsync_migration", "--dbname", dsn]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kept = "\n".join(line for line in done.stdout.splitlines() if not _NOISE.match(line))
    return _HEAD + "\n" + re.sub(r"\n{3,}", "\n\n", kept).strip() + "\n"


async def _write() -> None:
    # A folder of its own under the temp folder, which another user may pass through when we are root.
    with tempfile.TemporaryDirectory(prefix="contactsync-schema-") as folder:
        await asyncio.to_thread(Path(folder).chmod, 0o711)
        async with EmbeddedPostgres(Path(folder) / "data", settings={"fsync": "off"}) as server:
            connection = await asyncpg.connect(server.dsn)
            try:
                applied = await migrate(connection)
            finally:
                await connection.close()
            await asyncio.to_thread(lambda: FILE.write_text(dump(server.dsn), encoding="utf-8"))
    sys.stdout.write(f"{FILE.name}: the sum of {len(applied)} migrations\n")


if __name__ == "__main__":
    asyncio.run(_write())
