"""A server in a process of its own, so that its memory and processor time are its alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Process", "process"]


class Process:
    """A server that was started, and what the kernel says about it."""

    def __init__(self, pid: int, port: int) -> None:
        self.port = port
        self._pid = pid

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def resident_bytes(self) -> int:
        return self._status("VmRSS")

    def peak_bytes(self) -> int:
        """Most resident memory since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def threads(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self._pid}/task").iterdir())

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self._pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise LookupError(name)


@contextmanager
def process(module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Process]:
    """`python -m module`, which prints its port in its first line and ends when its input does."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as popen:
        assert popen.stdin is not None
        assert popen.stdout is not None
        try:
            yield Process(popen.pid, int(popen.stdout.readline()))
        finally:
            popen.stdin.close()
            try:
                popen.wait(30)
            except subprocess.TimeoutExpired:
                popen.kill()
