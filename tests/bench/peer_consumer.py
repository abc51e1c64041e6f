"""The peer of B3, run by the peers' own Python: a FastStream consumer that writes each event as plainly as can be.

`python peer_consumer.py BOOTSTRAP DSN TOPIC GROUP COUNT` prints `ready`, and in the end a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import asyncpg
from faststream.kafka import KafkaBroker  # type: ignore[import-not-found,unused-ignore]

_TABLES = """
CREATE SCHEMA IF NOT EXISTS peer;
CREATE TABLE IF NOT EXISTS peer.contact (account text, id text, body jsonb, PRIMARY KEY (account, id));
CREATE TABLE IF NOT EXISTS peer.link (connection text, left_id text, state jsonb, PRIMARY KEY (connection, left_id));
CREATE TABLE IF NOT EXISTS peer.outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text, body jsonb);
"""
_CONTACT = """
INSERT INTO peer.contact VALUES ($1, $2, $3) ON CONFLICT (account, id) DO UPDATE SET body = excluded.body
"""
_LINK = """
INSERT INTO peer.link VALUES ('pair', $1, $2) ON CONFLICT (connection, left_id) DO UPDATE SET state = excluded.state
"""
_OUTBOX = "INSERT INTO peer.outbox (topic, body) VALUES ('contacts.commands.book_app', $1)"


async def main(bootstrap: str, dsn: str, topic: str, group: str, count: int) -> None:
    """Take so many events in."""
    broker = KafkaBroker(bootstrap, logger=None)  # a line for each message would only slow it down
    pool = await asyncpg.create_pool(dsn)
    await pool.execute(_TABLES)
    done = asyncio.Event()
    began: list[tuple[float, float]] = []
    taken = 0

    @broker.subscriber(topic, group_id=group, auto_offset_reset="earliest")  # type: ignore[untyped-decorator,unused-ignore]
    async def take(event: dict[str, Any]) -> None:
        nonlocal taken
        if not began:
            began.append((time.perf_counter(), time.process_time()))
        fields = event["contact"]["fields"]
        wanted = {"fields": {"tel": fields["phone"], "email": fields["email"], "n": fields["name"]}}
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(_CONTACT, event["account"], event["contact_id"], json.dumps(event))
            await connection.execute(_LINK, event["contact_id"], json.dumps(wanted))
            await connection.execute(_OUTBOX, json.dumps(wanted))
        taken += 1
        if taken >= count:
            done.set()

    await broker.start()
    print("ready", flush=True)  # noqa: T201 - the bench waits for it
    await done.wait()
    seconds, cpu = time.perf_counter() - began[0][0], time.process_time() - began[0][1]
    print(json.dumps({"seconds": seconds, "cpu": cpu}), flush=True)  # noqa: T201 - the bench reads it
    await broker.stop()
    await pool.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])))
