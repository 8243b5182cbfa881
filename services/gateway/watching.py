"""Watching a job: a snapshot, then its changes, until it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol

from kmeans.v1 import job_pb2, job_service_pb2

from services.core.errors import Unavailable
from services.core.jobs import Job
from services.core.ports import Store
from services.core.tasks import Task
from services.gateway.followers import MAX_READ_SECONDS, Follower, Step
from services.gateway.messages import job_message, task_message
from services.gateway.paging import MAX_MESSAGE_BYTES

__all__ = ["MAX_STEP_TASKS", "Listener", "Watching"]

MAX_STEP_TASKS = 500


class Listener(Protocol):
    """Who watches: of a caller, what a watch needs."""

    def is_active(self) -> bool:
        """Whether somebody still listens."""

    def check_welcome(self) -> None:
        """Raise Unauthenticated when it may not listen any more."""

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Have this called when nobody does any more; False when that is so already."""


class Watching:
    """Tells the changes of jobs to any number of watchers, each at its own revision.

    A thread per watcher sends, at that watcher's pace; the store is read once for all watchers of a job.
    """

    def __init__(
        self, store: Store, stopping: threading.Event, *, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        """Follow this store until `stopping` is set; `seconds` is a clock that never goes back."""
        self._store = store
        self._stopping = stopping
        self._seconds = seconds
        self._lock = threading.Lock()
        self._followers: dict[tuple[str, bool], Follower] = {}

    def wake(self) -> None:
        """Make every watch look at once whether the server stops."""
        with self._lock:
            followers = list(self._followers.values())
        for follower in followers:
            follower.wake()

    def follow(
        self, job: Job, after_revision: int, *, job_only: bool, listener: Listener
    ) -> Iterator[job_service_pb2.WatchJobResponse]:
        """Steps of a watch: the first at once, the last with the ended job.

        A step is told as of a revision R read before its tasks: every task changed after the step before
        and up to R is in it. One that changes meanwhile has a revision above R and is in the next step,
        so that nothing is missed and whoever has seen R can resume after it.

        Args:
            job: where it stands now.
            after_revision: tasks unchanged since are left out; 0 for all.
            job_only: leave all tasks out.
            listener: asked between any two steps whether it is still there.

        Raises:
            NotFound: the job is deleted meanwhile.
            Unauthenticated: the listener's token was withdrawn.
            Unavailable: the server stops (`SHUTTING_DOWN`); resume elsewhere.
        """
        told_at = self._seconds()
        yield from self._responses(job, after_revision, job_only)
        if job.state.is_terminal:
            return
        changed = threading.Event()
        # A listener that is gone already is noticed before the first wait.
        listener.add_callback(changed.set)
        with self._followed(job, told_at, job_only, changed) as follower:
            while not job.state.is_terminal:
                step = follower.next_step(job.revision, changed, partial(self._goes_on, listener))
                if step is None:
                    return
                if step.after > job.revision:
                    seen, job = job.revision, self._store.get_job(job.id)
                    yield from self._responses(job, seen, job_only)
                else:
                    job = step.job
                    yield from step.responses

    @contextmanager
    def _followed(
        self, job: Job, told_at: float, job_only: bool, changed: threading.Event
    ) -> Iterator[Follower]:
        key = (job.id, job_only)
        with self._lock:
            follower = self._followers.get(key)
            if follower is None:
                follower = self._followers[key] = Follower(
                    job,
                    told_at,
                    wait=lambda revision: self._store.wait_for_change(job.id, revision, MAX_READ_SECONDS),
                    read=lambda revision: self._step(job.id, revision, job_only),
                    pause=self._stopping.wait,
                    seconds=self._seconds,
                )
            follower.join(changed)
        try:
            yield follower
        finally:
            with self._lock:
                if follower.leave(changed):
                    del self._followers[key]

    def _step(self, job_id: str, after: int, job_only: bool) -> Step:
        job = self._store.get_job(job_id)
        return Step(after, job, tuple(self._responses(job, after, job_only)))

    def _responses(self, job: Job, seen: int, job_only: bool) -> Iterator[job_service_pb2.WatchJobResponse]:
        message = job_message(job, self._store.count_tasks(job.id))
        batch: list[Task] = []
        for task in iter(()) if job_only else self._changed(job, seen):
            if len(batch) == MAX_STEP_TASKS:
                yield from _fitting(message, batch, more=True)
                batch = []
            batch.append(task)
        yield from _fitting(message, batch, more=False)

    def _changed(self, job: Job, seen: int) -> Iterator[Task]:
        while seen < job.revision:
            # The store ends an answer only between two revisions, so the last one is complete.
            tasks = self._store.changed_tasks(job.id, seen, MAX_STEP_TASKS)
            for task in tasks:
                if task.revision > job.revision:
                    return
                yield task
            if not tasks:
                return
            seen = tasks[-1].revision

    def _goes_on(self, listener: Listener) -> bool:
        if self._stopping.is_set():
            raise Unavailable(
                "This gateway is shutting down. Watch again, after the last revision you have.",
                "SHUTTING_DOWN",
            )
        listener.check_welcome()
        return listener.is_active()


def _fitting(
    job: job_pb2.Job, tasks: list[Task], *, more: bool
) -> Iterator[job_service_pb2.WatchJobResponse]:
    response = job_service_pb2.WatchJobResponse(job=job, tasks=map(task_message, tasks), more=more)
    if len(tasks) <= 1 or response.ByteSize() <= MAX_MESSAGE_BYTES:
        yield response
        return
    # Tasks that failed with very long sentences; almost never.
    half = len(tasks) // 2
    yield from _fitting(job, tasks[:half], more=True)
    yield from _fitting(job, tasks[half:], more=more)
