"""A process's memory: what stays isn't looked through again and again, what is free goes back to the system.

What comes in bursts (a backlog of records, answers of many kilobytes) leaves holes in the C library's heap. They are
used again, but the process is as large as its largest burst has ever made it, a little larger each time.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable
from typing import NoReturn

SECONDS = 60.0


def settle() -> None:
    """Have the garbage collector leave alone what is there now: modules, settings, classes.

    Of a hundred thousand objects a full collection takes a tenth of a second, in which nobody is answered.
    """
    gc.collect()
    gc.freeze()


def trimmer() -> Callable[[], None] | None:
    """Return what gives free memory back now; None where the C library has nothing for it.

    glibc's: https://man7.org/linux/man-pages/man3/malloc_trim.3.html
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        return None

    def now() -> None:
        trim(ctypes.c_size_t(0))

    return now


async def keep_small(seconds: float = SECONDS) -> NoReturn:
    """Give free memory back every so many seconds, as long as it isn't cancelled."""
    trim = trimmer()
    while True:
        await asyncio.sleep(seconds)
        if trim is not None:
            trim()
