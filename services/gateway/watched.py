"""Files that are read again when they change, while calls go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import structlog

from services.core.errors import InvalidInput

__all__ = ["WatchedFiles", "read_file"]

T = TypeVar("T")

# (device, inode, size, nanoseconds of the last change of content and of the entry itself) of each file.
_Stamp = tuple[tuple[int, int, int, int, int], ...]

# A file may change twice within one tick of its file system's clock. What was written so recently is looked
# at again.
_SETTLED_NANOSECONDS = 2_000_000_000
_MAX_FILE_BYTES = 4 << 20

_log = structlog.get_logger(__name__)


class WatchedFiles(Generic[T]):
    """What some files say, read anew after they changed; while they are wrong, what they said before."""

    def __init__(self, what: str, paths: Sequence[Path], read: Callable[[], T]) -> None:
        """Read them now, and let through what `read` raises.

        Args:
            what: of the log's sentences.
            paths: which to look at; links are followed, so that a mounted secret may be swapped.
            read: reads and checks them; raises InvalidInput, whose sentence goes to the log.
        """
        self._what = what
        self._paths = tuple(paths)
        self._read = read
        self._lock = threading.Lock()
        self._told = ""
        self._stamp = self._look()
        self._value = read()

    def current(self) -> T:
        """What they say now, or said when they last were right; never waits for another reader."""
        if self._lock.acquire(blocking=False):
            try:
                self._renew()
            finally:
                self._lock.release()
        return self._value

    def _renew(self) -> None:
        # Looked at before they are read: a change that comes between is seen the next time.
        stamp = self._look()
        if stamp is not None and stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            value = self._read()
        except InvalidInput as error:
            if error.message != self._told:
                self._told = error.message
                _log.error(f"{self._what} not renewed; the ones before stay", error=error.message)
            return
        self._told = ""
        if value != self._value:
            self._value = value
            _log.info(f"{self._what} renewed")

    def _look(self) -> _Stamp | None:
        """None while a file is missing or too fresh to tell it from what it may still become."""
        stamps = []
        for path in self._paths:
            try:
                status = path.stat()
            except OSError:
                return None
            if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < _SETTLED_NANOSECONDS:
                return None
            stamps.append(
                (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            )
        return tuple(stamps)


def read_file(path: Path, variable: str, reason: str) -> bytes:
    """The bytes of a small file, or InvalidInput with this reason, naming the file and its variable."""
    try:
        # Opening a pipe would wait for ever.
        if path.exists() and not path.is_file():
            raise InvalidInput(f"{variable}: {path} is not a file.", reason)
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"{variable}: {path} cannot be read ({error.strerror}).", reason) from error
    if len(content) > _MAX_FILE_BYTES:
        raise InvalidInput(f"{variable}: {path} has more than {_MAX_FILE_BYTES} bytes.", reason)
    return content
