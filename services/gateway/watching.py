"""Watching a job: a snapshot, then its changes, until it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from kmeans.v1 import job_pb2, job_service_pb2

from services.core.errors import Unavailable
from services.core.jobs import Job
from services.core.ports import Store
from services.core.tasks import Task
from services.gateway.messages import job_message, task_message
from services.gateway.paging import MAX_MESSAGE_BYTES

__all__ = ["MAX_STEP_TASKS", "Watching"]

MAX_STEP_TASKS = 500

# Changes that come faster are told together.
_MIN_STEP_SECONDS = 0.1
# How long a watch may overlook that its client has gone or the server stops.
_MAX_WAIT_SECONDS = 0.5


class Watching:
    """Tells the changes of jobs to any number of watchers, each at its own revision."""

    def __init__(
        self, store: Store, stopping: threading.Event, *, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        """Follow this store until `stopping` is set; `seconds` is a clock that never goes back."""
        self._store = store
        self._stopping = stopping
        self._seconds = seconds

    def follow(
        self, job: Job, after_revision: int, *, job_only: bool, is_wanted: Callable[[], bool]
    ) -> Iterator[job_service_pb2.WatchJobResponse]:
        """Steps of a watch: the first at once, the last with the ended job.

        A step is told as of a revision R read before its tasks: every task changed after the step before
        and up to R is in it. One that changes meanwhile has a revision above R and is in the next step,
        so that nothing is missed and whoever has seen R can resume after it.

        Args:
            job: where it stands now.
            after_revision: tasks unchanged since are left out; 0 for all.
            job_only: leave all tasks out.
            is_wanted: whether somebody still listens; asked at least twice a second.

        Raises:
            NotFound: the job is deleted meanwhile.
            Unavailable: the server stops (`SHUTTING_DOWN`); resume elsewhere.
        """
        seen = after_revision
        while True:
            told_at = self._seconds()
            changed: Iterator[Task] = iter(()) if job_only else self._changed(job, seen)
            yield from self._step(job, changed)
            if job.state.is_terminal:
                return
            seen = job.revision
            if not self._pause(told_at, is_wanted) or not self._await_change(job, is_wanted):
                return
            job = self._store.get_job(job.id)

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

    def _step(self, job: Job, changed: Iterator[Task]) -> Iterator[job_service_pb2.WatchJobResponse]:
        message = job_message(job, self._store.count_tasks(job.id))
        batch: list[Task] = []
        for task in changed:
            if len(batch) == MAX_STEP_TASKS:
                yield from _responses(message, batch, more=True)
                batch = []
            batch.append(task)
        yield from _responses(message, batch, more=False)

    def _pause(self, told_at: float, is_wanted: Callable[[], bool]) -> bool:
        self._stopping.wait(max(0.0, told_at + _MIN_STEP_SECONDS - self._seconds()))
        return self._goes_on(is_wanted)

    def _await_change(self, job: Job, is_wanted: Callable[[], bool]) -> bool:
        while self._store.wait_for_change(job.id, job.revision, _MAX_WAIT_SECONDS) <= job.revision:
            if not self._goes_on(is_wanted):
                return False
        return True

    def _goes_on(self, is_wanted: Callable[[], bool]) -> bool:
        if self._stopping.is_set():
            raise Unavailable(
                "This gateway is shutting down. Watch again, after the last revision you have.",
                "SHUTTING_DOWN",
            )
        return is_wanted()


def _responses(
    job: job_pb2.Job, tasks: list[Task], *, more: bool
) -> Iterator[job_service_pb2.WatchJobResponse]:
    response = job_service_pb2.WatchJobResponse(job=job, tasks=map(task_message, tasks), more=more)
    if len(tasks) <= 1 or response.ByteSize() <= MAX_MESSAGE_BYTES:
        yield response
        return
    # Tasks that failed with very long sentences; almost never.
    half = len(tasks) // 2
    yield from _responses(job, tasks[:half], more=True)
    yield from _responses(job, tasks[half:], more=more)
