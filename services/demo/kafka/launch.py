"""Runs a program that ends with its parent, however that ends: `launch.py PARENT PROGRAM ARGUMENT…`.

A program of its own, started by its path. It kills instead of asking: a broker without the others of its cluster takes
minutes to end when asked, and a stopped process hears nothing else. Kafka loses nothing that it acknowledged by it.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG = 1  # https://man7.org/linux/man-pages/man2/pr_set_pdeathsig.2const.html


def replaced(parent: int, command: list[str]) -> None:
    """Become the program; the kernel kills it with its parent, for that setting outlives execve."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the process that started this is gone")
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


def watched(parent: int, command: list[str]) -> int:
    """Run the program as a child, and look whether the parent is there. Signals reach both: they share a group."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    process = subprocess.Popen(command)
    while os.getppid() == parent:
        try:
            return process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            time.sleep(0)
    process.kill()
    return process.wait()


if __name__ == "__main__":
    if sys.platform == "linux":
        replaced(int(sys.argv[1]), sys.argv[2:])
    sys.exit(watched(int(sys.argv[1]), sys.argv[2:]))
