"""States of tasks as this process last read them: a count then asks only for what has changed since.

Counting the tasks of a job anew at every step costs the server all of their records each time. Whatever
changes a task gives it the next revision of its job, and revisions are committed whole and in their order:
so the records above the last revision that was seen are all that is needed to bring what was read up to date.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from typing import TypeVar

from services.backends.mongodb.database import Collections
from services.backends.mongodb.records import STANDING_FIELDS, Standing, read_standing_record
from services.core.tasks import TaskCounts, TaskKey, TaskState

__all__ = ["TaskStates"]

T = TypeVar("T")

# Tasks remembered at most, over all jobs: some 40 MB.
_MAX_TASKS = 200_000


class TaskStates:
    """Counts of the tasks of jobs, for any number of threads."""

    def __init__(self, max_tasks: int = _MAX_TASKS) -> None:
        """Know nothing yet; remember at most so many tasks, or those of one job: of those asked for last."""
        self._max_tasks = max_tasks
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, _Job] = OrderedDict()

    def counts(self, collections: Collections, job_id: str) -> TaskCounts:
        """Whole tasks by state; none of a job that is gone."""
        return self._view(collections, job_id, lambda job: TaskCounts(dict(+job.by_state)))

    def running(self, collections: Collections, job_id: str) -> int:
        """How many tasks and parts run."""
        return self._view(collections, job_id, lambda job: job.n_running)

    def suspects(self, collections: Collections, job_id: str) -> tuple[TaskKey, ...]:
        """PENDING tasks and parts that were lost at least once, by key."""
        return self._view(collections, job_id, lambda job: tuple(sorted(map(TaskKey.parse, job.suspects))))

    def _view(self, collections: Collections, job_id: str, view: Callable[[_Job], T]) -> T:
        found = collections.jobs.find_one({"_id": job_id}, {"revision": True})
        revision = 0 if found is None else int(found["revision"])
        with self._lock:
            job = self._jobs.get(job_id, _Job())
            if job.revision > revision:
                # The job is gone, or the database was restored from a backup.
                del self._jobs[job_id]
                job = _Job()
            if job.revision == revision:
                return view(job)
            seen = job.revision
        # Not under the lock: a thread that waits for a server in vain holds up no other.
        changed = collections.tasks.find(
            {"job_id": job_id, "revision": {"$gte": seen + 1}}, dict.fromkeys(STANDING_FIELDS, True)
        )
        standings = {record["_id"]: read_standing_record(record) for record in changed}
        with self._lock:
            job.update(standings, revision)
            self._keep(job_id, job)
            return view(job)

    def _keep(self, job_id: str, job: _Job) -> None:
        self._jobs[job_id] = job
        self._jobs.move_to_end(job_id)
        while len(self._jobs) > 1 and sum(map(len, self._jobs.values())) > self._max_tasks:
            self._jobs.popitem(last=False)


class _Job:
    """The tasks of one job, all of those that changed up to `revision`, and perhaps some later changes."""

    def __init__(self) -> None:
        self.revision = 0
        self.by_state: Counter[TaskState] = Counter()
        self.n_running = 0
        self.suspects: set[str] = set()
        self._standings: dict[str, Standing] = {}

    def __len__(self) -> int:
        # Never 0, so that any number of jobs has a size.
        return 1 + len(self._standings)

    def update(self, standings: Mapping[str, Standing], revision: int) -> None:
        """Take in what was read after the job had this revision; in any order."""
        for task_id, standing in standings.items():
            known = self._standings.get(task_id)
            if known is not None and known.revision >= standing.revision:
                continue
            if known is not None:
                self._count(task_id, known, -1)
            self._count(task_id, standing, 1)
            self._standings[task_id] = standing
        self.revision = max(self.revision, revision)

    def _count(self, task_id: str, standing: Standing, by: int) -> None:
        if standing.is_whole:
            self.by_state[standing.state] += by
        if not standing.is_runnable:
            return
        if standing.state is TaskState.RUNNING:
            self.n_running += by
        if standing.state is TaskState.PENDING and standing.was_lost:
            (self.suspects.add if by > 0 else self.suspects.discard)(task_id)
