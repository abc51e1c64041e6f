"""Pausing a connection: events are still taken in, and nothing is written."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from services.runtime.store import Connection as Database

Outcome: TypeAlias = Literal["done", "already", "unknown"]

_STATE = """
SELECT paused_at IS NOT NULL FROM registry.connection WHERE name = $1 AND removed_at IS NULL FOR UPDATE
"""
_SET = "UPDATE registry.connection SET paused_at = $2 WHERE name = $1"


async def pause(database: Database, name: str, now: datetime) -> Outcome:
    """Pause the connection at `now`, in the caller's transaction."""
    return await _set(database, name, now)


async def resume(database: Database, name: str) -> Outcome:
    """End the pause, in the caller's transaction; sync has to be told to reconsider its links in the same."""
    return await _set(database, name, None)


async def _set(database: Database, name: str, at: datetime | None) -> Outcome:
    paused = await database.fetchval(_STATE, name)
    if paused is None:
        return "unknown"
    if paused == (at is not None):
        return "already"
    await database.execute(_SET, name, at)
    return "done"
