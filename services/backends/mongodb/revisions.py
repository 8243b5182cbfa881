"""Waits for jobs to change: one thread of this process asks for all who wait.

A change stream would tell of other processes' changes at once, but needs a cursor of its own to resume,
rights that a user may lack, and polling to fall back on. One query for all watched jobs, five times a
second while somebody waits and at once when this process commits, costs less than either.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from services.backends.mongodb.failures import closed_store
from services.core.deadline import at_most
from services.core.errors import ServiceError, StoreUnavailable

__all__ = ["RevisionWatch"]

_POLL_SECONDS = 0.2  # how old the changes of other processes may get
_CLOSE_SECONDS = 2.0
_FIRST_LOOK_SECONDS = 5.0
_GAP_SECONDS = 0.02  # between two looks, however many ask for one


@dataclass(eq=False, slots=True)
class _Waiter:
    """One thread that waits; `told` is set when there is something new for it."""

    job_id: str
    revision: int
    told: threading.Event = field(default_factory=threading.Event)
    has_looked: bool = False
    current: int | None = None
    error: ServiceError | None = None


class RevisionWatch:
    """Any number of waiting threads, one that looks; it ends with `close` and rests while nobody waits."""

    def __init__(self, look: Callable[[Sequence[str]], Mapping[str, int]]) -> None:
        """Follow the revisions that `look` returns for the ids of jobs; jobs that are gone it leaves out."""
        self._look = look
        self._lock = threading.Lock()
        self._wanted = threading.Condition(self._lock)
        self._waiters: set[_Waiter] = set()
        self._is_urgent = False
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def wait(self, job_id: str, revision: int, timeout_seconds: float) -> int | None:
        """Block until the revision is above this one or the time is up; the current one, None if gone.

        What is returned was looked up after the call began. Raises what `look` raises, and
        StoreUnavailable when closed meanwhile.
        """
        deadline = time.monotonic() + timeout_seconds
        waiter = _Waiter(job_id, revision)
        with self._lock:
            if self._is_closed:
                raise closed_store()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="revision-watch", daemon=True)
                self._thread.start()
            self._waiters.add(waiter)
            self._is_urgent = True
            self._wanted.notify()
        try:
            # The first look ends by the time limits of the driver, which may be long.
            if not waiter.told.wait(at_most(max(timeout_seconds, _FIRST_LOOK_SECONDS))):
                raise StoreUnavailable("The job store does not answer. Try again in a moment.")
            while True:
                with self._lock:
                    waiter.told.clear()
                    error, current = waiter.error, waiter.current
                if error is not None:
                    raise error
                remaining = deadline - time.monotonic()
                if current is None or current > revision or remaining <= 0:
                    return current
                waiter.told.wait(remaining)
        finally:
            with self._lock:
                self._waiters.discard(waiter)

    def look_again(self, job_ids: set[str]) -> None:
        """Look at once if somebody waits for one of these jobs: this process changed them."""
        with self._lock:
            if any(waiter.job_id in job_ids for waiter in self._waiters):
                self._is_urgent = True
                self._wanted.notify()

    def close(self) -> None:
        """Send everybody away with StoreUnavailable and end the thread; idempotent."""
        with self._lock:
            self._is_closed = True
            for waiter in self._waiters:
                waiter.error = closed_store()
                waiter.told.set()
            self._wanted.notify()
            thread = self._thread
        if thread is not None:
            # Not for as long as a server may be silent to which it is just talking.
            thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        looked_at = -_POLL_SECONDS
        while True:
            with self._lock:
                while not self._is_closed:
                    pause = self._pause_seconds(looked_at)
                    if pause is not None and pause <= 0:
                        break
                    self._wanted.wait(pause)
                if self._is_closed:
                    return
                self._is_urgent = False
                waiters = tuple(self._waiters)
            looked_at = time.monotonic()
            self._tell(waiters)

    def _pause_seconds(self, looked_at: float) -> float | None:
        """Until the next look is due; None while nobody waits."""
        if not self._waiters:
            return None
        return looked_at + (_GAP_SECONDS if self._is_urgent else _POLL_SECONDS) - time.monotonic()

    def _tell(self, waiters: Sequence[_Waiter]) -> None:
        revisions: Mapping[str, int] = {}
        # Told should the look end in a mistake of ours: nobody may wait for a thread that has died.
        error: ServiceError | None = ServiceError("The job store could not be watched.")
        is_dying = True
        try:
            revisions = self._look(sorted({waiter.job_id for waiter in waiters}))
            error, is_dying = None, False
        except ServiceError as failure:
            error, is_dying = failure, False
        finally:
            with self._lock:
                if is_dying:
                    self._thread = None  # the next to wait begins another
                for waiter in waiters:
                    current = revisions.get(waiter.job_id)
                    is_news = error is not None or current is None or current > waiter.revision
                    waiter.error, waiter.current = error or waiter.error, current
                    if is_news or not waiter.has_looked:
                        waiter.told.set()
                    waiter.has_looked = True
