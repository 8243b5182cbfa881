"""Wakes the threads of this process that wait for a job to change."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

__all__ = ["Wakeups"]


class Wakeups:
    """One event per waiting thread, filed under the job it waits for: a commit wakes nobody else."""

    def __init__(self) -> None:
        """Begin with nobody waiting."""
        self._lock = threading.Lock()
        self._events: dict[str, set[threading.Event]] = {}

    @contextmanager
    def listening(self, job_id: str) -> Iterator[threading.Event]:
        """An event that is set whenever the job changes. Look at the job only after entering this."""
        event = threading.Event()
        with self._lock:
            self._events.setdefault(job_id, set()).add(event)
        try:
            yield event
        finally:
            with self._lock:
                events = self._events[job_id]
                events.discard(event)
                if not events:
                    del self._events[job_id]

    def wake(self, job_ids: Iterable[str]) -> None:
        """Wake who waits for one of these jobs."""
        with self._lock:
            for job_id in job_ids:
                for event in self._events.get(job_id, ()):
                    event.set()

    def wake_all(self) -> None:
        """Wake everybody: the store was closed."""
        with self._lock:
            for events in self._events.values():
                for event in events:
                    event.set()
