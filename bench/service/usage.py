"""What processes use: seconds of processor time, and resident memory over time, from /proc."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["MemoryLog", "cpu_seconds", "difference", "resident_bytes"]

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """User and system time of each process so far, with that of children that have ended."""
    return {name: sum(map(int, _stat(pid)[11:15])) / _TICKS for name, pid in pids.items()}


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What was used between two readings, by the kind of process: worker-1 and worker-2 are `worker`."""
    used: dict[str, float] = {}
    for name, seconds in after.items():
        kind = name.partition("-")[0]
        used[kind] = used.get(kind, 0.0) + seconds - before.get(name, 0.0)
    return used


def resident_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(_stat(pid)[21]) * _PAGE_BYTES


class MemoryLog:
    """Samples the memory of processes from a thread."""

    def __init__(self, pids: Callable[[], Mapping[str, int]], pause_seconds: float = 1.0) -> None:
        """Sample whatever `pids` names at that moment."""
        self._pids = pids
        self._pause_seconds = pause_seconds
        self._stop = threading.Event()
        self.samples: dict[str, list[int]] = {}

    @contextmanager
    def sampling(self) -> Iterator[MemoryLog]:
        """While the block runs."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def tenths(self) -> dict[str, tuple[float, float]]:
        """Mean bytes over the first and over the last tenth of the samples, by process."""
        found = {}
        for name, values in self.samples.items():
            n = max(1, len(values) // 10)
            found[name] = (sum(values[:n]) / n, sum(values[-n:]) / n)
        return found

    def _run(self) -> None:
        while not self._stop.wait(self._pause_seconds):
            for name, pid in self._pids().items():
                if Path(f"/proc/{pid}").exists():
                    self.samples.setdefault(name, []).append(resident_bytes(pid))


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
