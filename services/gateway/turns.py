"""Turns: a few callers at a time do what takes much memory or time, in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Turns"]

_PATIENCE_SECONDS = 0.5


class Turns:
    """So many places for work that takes much memory or time; who came first is let in first."""

    def __init__(self, count: int = 1) -> None:
        """So many places, all of them free."""
        self._lock = threading.Lock()
        self._free = count
        self._line: deque[threading.Event] = deque()

    @contextmanager
    def take(self, check_still_wanted: Callable[[], None]) -> Iterator[None]:
        """Hold a place; `check_still_wanted` is called while waiting for it, and ends that by raising."""
        ticket = threading.Event()
        with self._lock:
            self._line.append(ticket)
            self._let_in()
        try:
            while not ticket.wait(_PATIENCE_SECONDS):
                check_still_wanted()
            yield
        finally:
            with self._lock:
                if ticket.is_set():  # it may have been let in just as it gave up
                    self._free += 1
                else:
                    self._line.remove(ticket)
                self._let_in()

    def _let_in(self) -> None:
        while self._free and self._line:
            self._free -= 1
            self._line.popleft().set()
