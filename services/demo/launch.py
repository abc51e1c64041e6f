"""Runs one of the demo's servers: `launch.py PARENT localstripe FD STATE`, `radicale CONFIG` or `google FD STATE …`.

A program of its own, started by its path: contactsync never imports it, and it imports nothing of contactsync, but
that `google` runs our People sandbox. It ends with its parent, however that ends.
"""

import asyncio
import contextlib
import ctypes
import fcntl
import os
import pickle
import runpy
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1  # https://man7.org/linux/man-pages/man2/pr_set_pdeathsig.2const.html
_KEPT_EVENTS = 200


def end_with(parent: int) -> None:
    """End this process when `parent` has ended: by the kernel on Linux, by looking everywhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the demo that started this is gone")

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def alone(state: Path) -> None:
    """Wait for the server of a killed demo: until it has ended, the file `state` is its own."""
    lock = os.open(state.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)  # until the process ends


def localstripe(descriptor: int, state: Path) -> None:
    """Serve localstripe on the inherited socket, with its state in `state`.

    By itself it keeps its state in one fixed file of the machine, written in place and several times per request.
    Here it has a file of its own, replaced whole and once per request. And it answers a repeated idempotency key with
    the first answer, as Stripe does (https://docs.stripe.com/api/idempotent_requests): by itself it doesn't know them.
    An empty value takes a key of the metadata away (https://docs.stripe.com/api/metadata): by itself it keeps it.
    """
    alone(state)

    from aiohttp import web  # noqa: PLC0415 - only this branch has it
    from localstripe import resources, server  # noqa: PLC0415 - as above

    store: Any = resources.store
    dirty = False

    def write() -> None:
        nonlocal dirty
        dirty = False
        half = state.with_suffix(".new")
        half.write_bytes(pickle.dumps(dict(store), protocol=pickle.HIGHEST_PROTOCOL))
        half.replace(state)

    def soon(_: Any) -> None:
        nonlocal dirty
        if not dirty:
            dirty = True
            asyncio.get_running_loop().call_soon(write)

    def load() -> None:
        with contextlib.suppress(FileNotFoundError):
            store.update(pickle.loads(state.read_bytes()))  # noqa: S301 - this program's own file
        events = [key for key in store if key.startswith("event:")]
        for key in events[:-_KEPT_EVENTS]:  # nobody asks for old ones, and each makes every write slower
            dict.__delitem__(store, key)

    update = resources.StripeObject._update  # noqa: SLF001 - it has no hook

    def unset(self: Any, **data: Any) -> None:
        update(self, **data)
        if data.get("metadata"):
            self.metadata = {key: value for key, value in self.metadata.items() if value != ""}

    @web.middleware
    async def once(request: web.Request, handler: Any) -> Any:
        key = request.headers.get("Idempotency-Key")
        if request.method != "POST" or not key:
            return await handler(request)
        place = f"idempotency-key:{key}"
        if (first := store.get(place)) is not None:
            headers = {"Idempotent-Replayed": "true"}
            return web.Response(body=first, content_type="application/json", headers=headers)
        answer = await handler(request)
        if answer.status < 300:
            dict.__setitem__(store, place, bytes(answer.body))
            soon(store)
        return answer

    type(store).dump_to_disk = lambda _: None
    load()
    type(store).dump_to_disk = soon
    resources.StripeObject._update = unset  # noqa: SLF001 - as above
    server.app.middlewares.insert(0, once)
    listener = socket.socket(fileno=descriptor)
    web.run_app(server.app, sock=listener, access_log=None, print=None, shutdown_timeout=0.5)


def radicale(config: Path) -> None:
    """Serve Radicale by its own command, with this configuration alone."""
    sys.argv = ["radicale", "--config", str(config)]
    runpy.run_module("radicale", run_name="__main__", alter_sys=True)


def google(arguments: list[str]) -> None:
    """Serve our People sandbox, with the arguments that it takes: the inherited socket, its state, who may use it."""
    alone(Path(arguments[1]))
    sys.path.append(str(Path(__file__).parents[2]))
    sys.argv = ["google", *arguments]
    runpy.run_module("services.connectors.google_contacts.sandbox", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    match sys.argv[2]:
        case "localstripe":
            localstripe(int(sys.argv[3]), Path(sys.argv[4]))
        case "radicale":
            radicale(Path(sys.argv[3]))
        case _:
            google(sys.argv[3:])
