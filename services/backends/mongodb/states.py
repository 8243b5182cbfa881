"""States of tasks as this process last read them: a question then asks only for what has changed since.

Counting the tasks of a job anew at every step costs the server all of their records each time. Whatever
changes a task gives it the next revision of its job, and revisions are committed whole and in their order:
so the records above the last revision that was seen are all that is needed to bring what was read up to date.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from pymongo.client_session import ClientSession

from services.backends.mongodb.database import Collections
from services.backends.mongodb.job_tasks import JobTasks
from services.backends.mongodb.records import STANDING_FIELDS, WHOLES, read_standing_record
from services.core.jobs import JobState
from services.core.tasks import TaskCounts, TaskState

__all__ = ["TaskStates", "count_by_state"]

T = TypeVar("T")

_ENDED_STATES = frozenset(state.value for state in JobState if state.is_terminal)

# Tasks remembered at most, over all jobs: some 100 MB.
_MAX_TASKS = 200_000
# Jobs that have ended, of which the counts alone are remembered.
_MAX_ENDED = 10_000


class TaskStates:
    """The tasks of the jobs that were asked for last, for any number of threads."""

    def __init__(self, max_tasks: int = _MAX_TASKS) -> None:
        """Know nothing yet; remember at most so many tasks, or those of one job."""
        self._max_tasks = max_tasks
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, JobTasks] = OrderedDict()
        self._ended: OrderedDict[str, tuple[int, TaskCounts]] = OrderedDict()

    def counts(self, collections: Collections, job_id: str) -> TaskCounts:
        """Whole tasks by state, as they are now; none of a job that is gone."""
        job = collections.jobs.find_one({"_id": job_id}, {"revision": True, "state": True})
        if job is None or job["state"] not in _ENDED_STATES:
            return self._ask(collections, job_id, 0 if job is None else int(job["revision"]), JobTasks.counts)
        # Nothing of it will change soon: its tasks themselves are not worth reading and remembering.
        with self._lock:
            self._jobs.pop(job_id, None)
            revision, counts = self._ended.get(job_id, (-1, TaskCounts()))
        if revision != job["revision"]:
            counts = count_by_state(collections, job_id)
            with self._lock:
                self._ended[job_id] = job["revision"], counts
                while len(self._ended) > _MAX_ENDED:
                    self._ended.popitem(last=False)
        return counts

    def ask(self, collections: Collections, job_id: str, question: Callable[[JobTasks], T]) -> T:
        """What the job's tasks, as they are now, answer; those of a job that is gone are none.

        The question is asked under a lock, so that what it returns must not change with them.
        """
        return self._ask(collections, job_id, _revision(collections, job_id), question)

    def _ask(
        self, collections: Collections, job_id: str, revision: int, question: Callable[[JobTasks], T]
    ) -> T:
        with self._lock:
            tasks = self._jobs.get(job_id, JobTasks())
            seen = tasks.revision
        if seen > revision:
            # Another thread was faster. Unless the revision is below even now: then the job is gone, or the
            # database was restored from a backup.
            revision = _revision(collections, job_id)
            if seen > revision:
                tasks, seen = JobTasks(), 0
                with self._lock:
                    self._jobs.pop(job_id, None)
        if seen == revision:
            with self._lock:
                return question(tasks)
        # Not under the lock: a thread that waits for a server in vain holds up no other.
        changed = collections.tasks.find(
            {"job_id": job_id, "revision": {"$gte": seen + 1}}, dict.fromkeys(STANDING_FIELDS, True)
        )
        standings = {record["_id"]: read_standing_record(record) for record in changed}
        with self._lock:
            tasks.update(standings, revision)
            self._keep(job_id, tasks)
            return question(tasks)

    def _keep(self, job_id: str, tasks: JobTasks) -> None:
        self._jobs[job_id] = tasks
        self._jobs.move_to_end(job_id)
        while len(self._jobs) > 1 and sum(map(len, self._jobs.values())) > self._max_tasks:
            self._jobs.popitem(last=False)


def _revision(collections: Collections, job_id: str) -> int:
    job = collections.jobs.find_one({"_id": job_id}, {"revision": True})
    return 0 if job is None else int(job["revision"])


def count_by_state(collections: Collections, job_id: str, session: ClientSession | None = None) -> TaskCounts:
    """Counts by state, counted from the whole tasks."""
    groups = collections.tasks.aggregate(
        [{"$match": {"job_id": job_id, **WHOLES}}, {"$group": {"_id": "$state", "count": {"$sum": 1}}}],
        session=session,
    )
    return TaskCounts({TaskState(group["_id"]): group["count"] for group in groups})
