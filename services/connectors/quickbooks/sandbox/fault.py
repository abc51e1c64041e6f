"""Scripted faults: which requests go wrong, how, and how often."""

import asyncio
import json
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

API = "/v3/*"


@dataclass(frozen=True)
class Drop:
    """The connection ends without an answer; `executed` says whether the change was made."""

    executed: bool


@dataclass(frozen=True)
class Fail:
    """An error answer; `executed` says whether the change was made before it."""

    status: int
    body: bytes = b""
    executed: bool = False
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hold:
    """The request is executed once `gate` is set."""

    gate: asyncio.Event


Effect = Drop | Fail | Hold


@dataclass
class Fault:
    """An effect on requests of a method and a path pattern: strikes `times`, or for good."""

    effect: Effect
    method: str
    path: str
    times: int | None
    hits: int = 0

    def strikes(self, method: str, path: str) -> bool:
        """Whether it strikes this request; counts it."""
        if not (fnmatchcase(method, self.method) and fnmatchcase(path, self.path)):
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        self.hits += 1
        return True


class Faults:
    """The script. The first fault that strikes a request counts."""

    def __init__(self) -> None:
        self._script: list[Fault] = []

    def add(self, effect: Effect, method: str = "*", path: str = API, *, times: int | None = 1) -> Fault:
        """Any effect on the requests that fit."""
        fault = Fault(effect, method, path, times)
        self._script.append(fault)
        return fault

    def drop(self, method: str = "*", path: str = API, *, executed: bool = True, times: int | None = 1) -> Fault:
        """The answer is lost; by default the change was made."""
        return self.add(Drop(executed), method, path, times=times)

    def fail(self, status: int, code: str = "", method: str = "*", path: str = API, *, times: int | None = 1) -> Fault:
        """An error of the API's shape, or without a body if it has no code."""
        error = {"Message": "A scripted failure.", "Detail": "", "code": code, "element": ""}
        body = json.dumps({"Fault": {"Error": [error], "type": "SystemFault"}}).encode() if code else b""
        return self.add(Fail(status, body), method, path, times=times)

    def hold(self, method: str = "*", path: str = API, *, times: int | None = 1) -> asyncio.Event:
        """The request waits until the event that this returns is set."""
        gate = asyncio.Event()
        self.add(Hold(gate), method, path, times=times)
        return gate

    def clear(self) -> None:
        """From now on nothing goes wrong."""
        self._script.clear()

    def strike(self, method: str, path: str) -> Effect | None:
        """What befalls this request, if anything."""
        return next((fault.effect for fault in self._script if fault.strikes(method, path)), None)
