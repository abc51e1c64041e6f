"""Calls of an account's app that are under way, and whose answers aren't recorded yet."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar, cast

from services.connectors.desk import AccessGoneError
from services.runtime.log.errors import is_passing

T = TypeVar("T")


class Flights(Generic[T]):
    """Up to `most` calls at once, each of which records its own answer. With one, nothing else goes on meanwhile."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._flying: dict[asyncio.Task[None], tuple[T, ...]] = {}
        self._bug: Exception | None = None
        self.clean = False
        """Whether everything that was claimed is in somebody's hands. If not, the next step recovers it."""
        self.landed: Callable[[], None] = lambda: None
        """Called when an answer was recorded: there may be something new to do."""

    @property
    def held(self) -> list[T]:
        """What they are about: none of it is begun a second time."""
        return [each for held in self._flying.values() for each in held]

    async def full(self) -> bool:
        """Whether no other call may begin; then one has ended meanwhile. Raises what went wrong in one by a bug."""
        if self._bug is not None:
            raise self._bug
        if len(self._flying) < self._most:
            return False
        await asyncio.wait(self._flying, return_when=asyncio.FIRST_COMPLETED)
        return True

    async def begin(self, call: Coroutine[Any, Any, None], *about: T) -> None:
        """Let it fly. What fails between the claim and the record is for the next step to recover."""
        if self._most > 1:
            self._flying[asyncio.create_task(self._fly(call), name=self._name)] = about
            return
        self.clean = False  # until the answer is recorded
        with contextlib.suppress(AccessGoneError):
            await call
            self.clean = True

    async def _fly(self, call: Coroutine[Any, Any, None]) -> None:
        try:
            await call
        except Exception as error:  # noqa: BLE001 - the lane's next step raises it
            self.clean = False
            if not (is_passing(error) or isinstance(error, AccessGoneError)):
                self._bug = error
        finally:
            self._flying.pop(cast("asyncio.Task[None]", asyncio.current_task()), None)
            self.landed()

    async def land(self) -> None:
        """Wait until the answers to all calls are recorded; what is cancelled meanwhile is cut short."""
        flying = set(self._flying)
        try:
            if flying:
                await asyncio.wait(flying)
        except asyncio.CancelledError:
            for flight in flying:
                flight.cancel()
            await asyncio.wait(flying)
            raise
