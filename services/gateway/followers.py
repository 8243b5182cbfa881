"""Followers: the changes of one job, read once for however many watch it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from kmeans.v1 import job_service_pb2

from services.core.jobs import Job

__all__ = ["Follower", "Step"]

# Changes that come faster are told together.
MIN_STEP_SECONDS = 0.1
# How long a store is asked in one go, and so how long the watcher that asks may overlook that it ended.
MAX_READ_SECONDS = 0.5
# The others are woken when there is something for them; this is for what nobody thought of.
_MAX_IDLE_SECONDS = 10.0
# Steps kept for watchers that are still sending an earlier one: so many, and with so many tasks in all.
_MAX_STEPS = 16
_MAX_KEPT_TASKS = 30_000


@dataclass(frozen=True, slots=True)
class Step:
    """What changed in a job after one revision.

    Attributes:
        after: the revision before; every task that changed since is told, up to the job's own revision.
        job: where it stands then.
        responses: what its watchers are sent, in this order.
    """

    after: int
    job: Job
    responses: tuple[job_service_pb2.WatchJobResponse, ...]


class Follower:
    """Whoever of a job's watchers finds nobody reading reads on, and all of them are told.

    So the store is asked by one thread per job, and none while nobody watches. A watcher is a cursor: what it
    has not taken yet is in the last steps, which all share, or is read again from the store.
    """

    def __init__(
        self,
        begun: Job,
        begun_at: float,
        *,
        wait: Callable[[int], int],
        read: Callable[[int], Step],
        pause: Callable[[float], object],
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Follow from this job's revision on, which was told at `begun_at`.

        Args:
            wait: waits for a revision above the given one, at most MAX_READ_SECONDS; returns the current one.
            read: the step after a revision.
            pause: lets so many seconds pass, fewer when the server stops.
            seconds: a clock that never goes back.
        """
        self._revision = begun.revision
        self._told_at = begun_at
        self._wait, self._read, self._pause, self._seconds = wait, read, pause, seconds
        self._lock = threading.Lock()
        self._is_read = False
        self._steps: deque[Step] = deque()
        self._watchers: set[threading.Event] = set()
        self._idle: set[threading.Event] = set()

    def join(self, watcher: threading.Event) -> None:
        """Let this event be set whenever there may be a step to take."""
        with self._lock:
            self._watchers.add(watcher)

    def leave(self, watcher: threading.Event) -> bool:
        """Whether nobody is left."""
        with self._lock:
            self._watchers.discard(watcher)
            self._call_successor()
            return not self._watchers

    def wake(self) -> None:
        """Make every watcher ask whether it goes on."""
        with self._lock:
            for watcher in self._watchers:
                watcher.set()

    def next_step(self, seen: int, watcher: threading.Event, goes_on: Callable[[], bool]) -> Step | None:
        """The first step that tells more than the revision `seen`; None when the watch does not go on.

        Its `after` is above `seen` when the watcher fell behind what is kept, and has to read for itself.
        What `goes_on` and the store raise passes through.
        """
        while True:
            # Cleared before looking: what comes after the look sets it again.
            watcher.clear()
            if not goes_on():
                return None
            with self._lock:
                for step in self._steps:
                    if step.job.revision > seen:
                        return step
                reads, self._is_read = not self._is_read, True
                if not reads:
                    self._idle.add(watcher)
            if reads:
                self._read_on(goes_on)
            else:
                watcher.wait(_MAX_IDLE_SECONDS)
                with self._lock:
                    self._idle.discard(watcher)

    def _read_on(self, goes_on: Callable[[], bool]) -> None:
        """Read until there is a step; on any way out, somebody else may go on reading."""
        try:
            self._pause(max(0.0, self._told_at + MIN_STEP_SECONDS - self._seconds()))
            while goes_on():
                if self._wait(self._revision) > self._revision:
                    self._told_at = self._seconds()
                    self._keep(self._read(self._revision))
                    return
        finally:
            with self._lock:
                self._is_read = False
                self._call_successor()

    def _keep(self, step: Step) -> None:
        with self._lock:
            self._revision = step.job.revision
            self._steps.append(step)
            while len(self._steps) > _MAX_STEPS or (
                len(self._steps) > 1 and sum(map(_task_count, self._steps)) > _MAX_KEPT_TASKS
            ):
                self._steps.popleft()
            for watcher in self._watchers:
                watcher.set()

    def _call_successor(self) -> None:
        # One that waits: others may be busy with slow clients for long, and look by themselves afterwards.
        if not self._is_read and self._idle:
            self._idle.pop().set()


def _task_count(step: Step) -> int:
    return sum(len(response.tasks) for response in step.responses)
