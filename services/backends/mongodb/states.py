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

from services.backends.mongodb.database import Collections
from services.backends.mongodb.job_tasks import JobTasks
from services.backends.mongodb.records import STANDING_FIELDS, read_standing_record

__all__ = ["TaskStates"]

T = TypeVar("T")

# Tasks remembered at most, over all jobs: some 90 MB.
_MAX_TASKS = 200_000


class TaskStates:
    """The tasks of the jobs that were asked for last, for any number of threads."""

    def __init__(self, max_tasks: int = _MAX_TASKS) -> None:
        """Know nothing yet; remember at most so many tasks, or those of one job."""
        self._max_tasks = max_tasks
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, JobTasks] = OrderedDict()

    def ask(self, collections: Collections, job_id: str, question: Callable[[JobTasks], T]) -> T:
        """What the job's tasks, as they are now, answer; those of a job that is gone are none.

        The question is asked under a lock, and again about nothing that it returns.
        """
        found = collections.jobs.find_one({"_id": job_id}, {"revision": True})
        revision = 0 if found is None else int(found["revision"])
        with self._lock:
            tasks = self._jobs.get(job_id, JobTasks())
            if tasks.revision > revision:
                # The job is gone, or the database was restored from a backup.
                del self._jobs[job_id]
                tasks = JobTasks()
            if tasks.revision == revision:
                return question(tasks)
            seen = tasks.revision
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
