"""The home folder of the embedded service, used by one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from services.core.errors import HomeInUse, InvalidInput

__all__ = ["Home", "RunningService", "find_running_service"]

_LOCK = "lock"
_ADDRESS = "service.json"


@dataclass(frozen=True, slots=True)
class RunningService:
    """An embedded service that already uses the home: process id, HOST:PORT, whether it speaks TLS."""

    pid: int
    address: str
    uses_tls: bool = False


class Home:
    """Exclusive use of a home folder, kept by a file lock that the system drops when the process dies.

    Because of it, whatever the store says is running when the home is opened belongs to a process that
    is gone, and can be taken up at once.
    """

    def __init__(self, path: Path) -> None:
        """Create the folder (private to the user) and take its lock.

        Raises:
            HomeInUse: another process holds it.
            InvalidInput: the folder cannot be made or written.
        """
        self.path = path.absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock: IO[str] = (self.path / _LOCK).open("a+")
        except OSError as error:
            raise _unusable(self.path, error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise HomeInUse(
                f"Another kmeans-service uses {self.path}. "
                "Stop it, talk to it with --target, or set KMEANS_HOME to another folder."
            ) from error
        # Left by a process that died: nobody may take it for ours.
        self.withdraw()

    def announce(self, address: str, *, uses_tls: bool = False) -> None:
        """Write down where the service listens, for other processes to find it."""
        temporary = self.path / f"{_ADDRESS}.new"
        try:
            temporary.write_text(json.dumps({"pid": os.getpid(), "address": address, "tls": uses_tls}))
            temporary.replace(self.path / _ADDRESS)
        except OSError as error:
            raise _unusable(self.path, error) from error

    def withdraw(self) -> None:
        """Take the address down: whoever comes now waits for the lock instead; idempotent."""
        (self.path / _ADDRESS).unlink(missing_ok=True)

    def close(self) -> None:
        """Take the address down and let go of the lock; idempotent."""
        if not self._lock.closed:
            self.withdraw()
            self._lock.close()

    def __enter__(self) -> Home:
        """Return the home itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


def _unusable(path: Path, error: OSError) -> InvalidInput:
    return InvalidInput(
        f"The folder {path} cannot be used ({error.strerror}). "
        "Set KMEANS_HOME to a folder you can write to, on a disk with room.",
        "BAD_HOME",
    )


def find_running_service(path: Path) -> RunningService | None:
    """Where the service that holds this home says it listens; None while it is still starting.

    Ask only after HomeInUse: without a holder, what is written here is left over from a dead process.
    """
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        announced = json.loads((path / _ADDRESS).read_text())
        return RunningService(
            int(announced["pid"]), str(announced["address"]), bool(announced.get("tls", False))
        )
    return None
