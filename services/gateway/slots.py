"""Slots: how many calls of one long-lived kind may hold a thread at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from services.core.errors import LimitExceeded

__all__ = ["Slots"]

_RETRY_SECONDS = 5


class Slots:
    """A bound on calls that keep a thread for as long as their client likes.

    Without it, that many watchers would leave no thread for anybody else, health excepted.
    """

    def __init__(self, kind: str, count: int, setting: str) -> None:
        """Allow `count` calls at once; the refusal names `kind`, a plural, and the setting to raise."""
        self._kind = kind
        self._setting = setting
        self._count = count
        self._free = threading.BoundedSemaphore(count)

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold one slot; LimitExceeded (`TOO_MANY_STREAMS`) at once when none is free."""
        if not self._free.acquire(blocking=False):
            raise LimitExceeded(
                f"This gateway serves {self._count} {self._kind} at once, and all are taken. "
                f"Try again later, or raise {self._setting}.",
                "TOO_MANY_STREAMS",
                {"kind": self._kind, "limit": str(self._count)},
                retry_seconds=_RETRY_SECONDS,
            )
        try:
            yield
        finally:
            self._free.release()
