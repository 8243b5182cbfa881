"""Server processes: started apart from us, recognised later, and ended by their own id."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["POLL_SECONDS", "ServerProcess", "spawn"]

POLL_SECONDS = 0.05

# Fields 3, 20 and 22 of /proc/PID/stat, counted from the end of the command's name (field 2).
_STATE = 0
_THREADS = 17
_START_TIME = 19


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A process that is recognised even when its id was given to another one since.

    Attributes:
        pid: its id, which is also that of its process group.
        start_ticks: when it started, in clock ticks since the machine did (from /proc).
    """

    pid: int
    start_ticks: int

    def is_alive(self) -> bool:
        """Whether this very process still runs."""
        _reap(self.pid)
        stat = _stat(self.pid)
        if stat is None or int(stat[_START_TIME]) != self.start_ticks:
            return False
        # Dead, but not collected by its parent; as long as it has threads, they hold its ports and files.
        return stat[_STATE] != "Z" or int(stat[_THREADS]) > 1

    def terminate(self, grace_seconds: float) -> bool:
        """End it with SIGTERM, with SIGKILL after the grace; return whether it went within the grace."""
        if self._signal(signal.SIGTERM) and not self.wait(grace_seconds):
            self.kill()
            return False
        return True

    def kill(self) -> None:
        """End it and its children at once (SIGKILL), and wait until it is gone."""
        if not self.is_alive():
            return
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        if not self.wait(10.0):
            raise RuntimeError(f"Process {self.pid} outlives SIGKILL.")

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until it is gone; return whether it is."""
        deadline = time.monotonic() + timeout_seconds
        while self.is_alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def _signal(self, number: signal.Signals) -> bool:
        if not self.is_alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


def spawn(command: Sequence[str], log: Path, folder: Path, environment: Mapping[str, str]) -> ServerProcess:
    """Start a server that outlives us, in a session of its own; its output is appended to the log."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # It is waited for by id (`_reap`), maybe by another process of ours; Popen would complain otherwise.
    child.returncode = 0
    stat = _stat(child.pid)
    if stat is None:
        raise RuntimeError(f"{command[0]} ended before it was seen.")
    return ServerProcess(child.pid, int(stat[_START_TIME]))


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _reap(pid: int) -> None:
    """Collect it when it is a child of ours that ended: else it would stay, dead, in the table."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
