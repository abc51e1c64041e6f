"""A step of the story."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from services.demo.scene import NotInStep, Scene, Writes


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it shows, and what plays it. The player returns a note, or raises `NotInStep`."""

    title: str
    play: Callable[[Scene], Awaitable[str]]


def no_writes(scene: Scene, before: Writes) -> str:
    """The note that nothing was written. Raises `NotInStep` if something was."""
    if scene.writes() != before:
        raise NotInStep(f"expected no write; seen: {before} before, {scene.writes()} after")
    return "no write"
