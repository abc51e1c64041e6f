"""How much memory processes hold, and whether it grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MIB = 1024 * 1024
TEN_MINUTES = 600.0
MOST = 1.0
"""MiB in ten minutes that a process may grow at a steady load."""
Sample = tuple[float, float]
"""Seconds since the beginning, and MiB held then."""


def held(pid: int) -> float | None:
    """Return a process's resident memory in MiB; None if there is no such process.

    VmRSS of https://man7.org/linux/man-pages/man5/proc_pid_status.5.html, which is in KiB.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    except OSError:
        return None
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(found[0]) * 1024 / MIB if found else None


def per_ten_minutes(samples: Sequence[Sample]) -> float:
    """Return the slope of the straight line that fits best, in MiB per ten minutes. Raises `ValueError` below two."""
    if len(samples) < 2:
        raise ValueError("a slope needs two samples")
    middle = sum(at for at, _ in samples) / len(samples)
    mean = sum(mib for _, mib in samples) / len(samples)
    spread = sum((at - middle) ** 2 for at, _ in samples)
    return TEN_MINUTES * sum((at - middle) * (mib - mean) for at, mib in samples) / spread


@dataclass
class Growth:
    """What each process held, from the beginning on."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)
    restarted: set[str] = field(default_factory=set)
    """Processes that aren't what they were: their figures are of two."""

    def sample(self, at: float, pids: Mapping[str, int]) -> None:
        """Note what each process holds at `at` seconds."""
        for name, pid in pids.items():
            if self.pids.setdefault(name, pid) != pid:
                self.restarted.add(name)
                self.pids[name] = pid
            mib = held(pid)
            if mib is not None:
                self.samples.setdefault(name, []).append((at, mib))

    def after(self, seconds: float) -> dict[str, float]:
        """Return each process's growth from `seconds` on, in MiB per ten minutes."""
        late = {name: [each for each in told if each[0] >= seconds] for name, told in self.samples.items()}
        return {name: per_ten_minutes(told) for name, told in late.items() if len(told) > 1}

    def steady(self, seconds: float) -> bool:
        """Whether from `seconds` on every process that was sampled stayed the same one, and grew less than `MOST`."""
        grown = self.after(seconds)
        return bool(grown) and grown.keys() == self.samples.keys() and not self.restarted and max(grown.values()) < MOST
