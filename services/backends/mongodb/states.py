"""States of tasks as this process last read them: a question then asks only for what has changed since.

Counting the tasks of a job anew at every step costs the server all of their records each time. Whatever
changes a task gives it, and the block that it is in, the next revision of its job, and revisions are
committed whole and in their order: so the blocks above the last revision that was seen are all that is needed
to bring what was read up to date.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pymongo.client_session import ClientSession

from services.backends.documents import Document
from services.backends.mongodb.database import Collections
from services.backends.mongodb.job_tasks import JobTasks
from services.backends.mongodb.records import STANDING_FIELDS, block_tasks, read_standing
from services.core.jobs import JobState
from services.core.tasks import TaskCounts, TaskState

__all__ = ["TaskStates", "count_by_state"]

T = TypeVar("T")

_ENDED_STATES = frozenset(state.value for state in JobState if state.is_terminal)
# Tasks remembered at most, over all jobs: some 100 MB.
_MAX_TASKS = 500_000
# What was read is read anew after this long: should a change ever be missed, by a server that was set back
# or one that answered out of turn, it is not missed for good.
_MAX_SECONDS = 300.0
# Jobs that have ended, of which the counts alone are remembered.
_MAX_ENDED = 10_000


@dataclass(slots=True)
class _Known:
    """A job's tasks, when the reading of them began, and how many are counted as remembered."""

    tasks: JobTasks
    read_at: float
    size: int = 0


class TaskStates:
    """The tasks of unfinished jobs, for any number of threads."""

    def __init__(
        self,
        max_tasks: int = _MAX_TASKS,
        max_seconds: float = _MAX_SECONDS,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know nothing yet; remember at most so many tasks, and each job for so long.

        Args:
            seconds: a clock that never goes back.
        """
        self._max_tasks = max_tasks
        self._max_seconds = max_seconds
        self._seconds = seconds
        self._lock = threading.Lock()
        self._jobs: dict[str, _Known] = {}
        self._n_tasks = 0
        self._ended: OrderedDict[str, tuple[int, TaskCounts]] = OrderedDict()

    @property
    def n_tasks(self) -> int:
        """How many are remembered."""
        return self._n_tasks

    def counts(self, collections: Collections, job_id: str) -> TaskCounts:
        """Whole tasks by state, as they are now; none of a job that is gone.

        Raises DataLoss when a record of them is damaged.
        """
        with _session(collections) as session:
            revision, has_ended = _look(collections, job_id, session)
            if not has_ended:
                return self._ask(collections, job_id, session, revision, JobTasks.counts)
        # Nothing of it will change soon: its tasks themselves are not worth reading and remembering.
        with self._lock:
            self._forget(job_id)
            counted_at, counts = self._ended.get(job_id, (-1, TaskCounts()))
        if counted_at != revision:
            counts = count_by_state(collections, job_id)
            with self._lock:
                self._ended[job_id] = revision, counts
                while len(self._ended) > _MAX_ENDED:
                    self._ended.popitem(last=False)
        return counts

    def ask(self, collections: Collections, job_id: str, question: Callable[[JobTasks], T]) -> T:
        """What the job's tasks, as they are now, answer; those of a job that is gone are none.

        The question is asked under a lock, so that what it returns must not change with them. Raises
        DataLoss when a record of them is damaged.
        """
        with _session(collections) as session:
            revision, _ = _look(collections, job_id, session)
            return self._ask(collections, job_id, session, revision, question)

    def _ask(
        self,
        collections: Collections,
        job_id: str,
        session: ClientSession,
        revision: int,
        question: Callable[[JobTasks], T],
    ) -> T:
        now = self._seconds()
        with self._lock:
            known = self._jobs.get(job_id)
            if known is None or now - known.read_at > self._max_seconds:
                known = _Known(JobTasks(), now)
            seen = known.tasks.revision
        if seen > revision:
            # Another thread was faster. Unless the revision is below even now: then the job is gone, or
            # the database was restored from a backup.
            revision, _ = _look(collections, job_id, session)
            if seen > revision:
                known, seen = _Known(JobTasks(), now), 0
                with self._lock:
                    self._forget(job_id)
        if seen == revision:
            with self._lock:
                return question(known.tasks)
        # At first all of them: a damaged record shall be told, not overlooked for want of a revision.
        wanted: Document = {"job_id": job_id}
        if seen:
            wanted["revision"] = {"$gte": seen + 1}
        # Not under the lock: a thread that waits for a server in vain holds up no other.
        changed = collections.blocks.find(wanted, STANDING_FIELDS, session=session)
        standings = {
            record["id"]: read_standing(record)
            for block in changed
            for record in block_tasks(block, "revision", "state", "n_parts", "losses", "waiting_from")
        }
        with self._lock:
            known.tasks.update(standings, revision)
            self._keep(job_id, known)
            return question(known.tasks)

    def _keep(self, job_id: str, known: _Known) -> None:
        """Remember it if there is room; what has its place keeps it, since all jobs are asked for in turn."""
        if self._jobs.get(job_id) is not known:
            self._forget(job_id)
        size = len(known.tasks)
        if self._n_tasks - known.size + size > self._max_tasks:
            now = self._seconds()
            for other, each in tuple(self._jobs.items()):
                if now - each.read_at > self._max_seconds:
                    self._forget(other)
            if self._n_tasks - known.size + size > self._max_tasks:
                self._forget(job_id)
                return
        self._jobs[job_id] = known
        self._n_tasks += size - known.size
        known.size = size

    def _forget(self, job_id: str) -> None:
        known = self._jobs.pop(job_id, None)
        if known is not None:
            self._n_tasks -= known.size
            known.size = 0


def _session(collections: Collections) -> ClientSession:
    """For all readings of one answer: of two servers the second to be asked is not behind the first then."""
    return collections.jobs.database.client.start_session(causal_consistency=True)


def _look(collections: Collections, job_id: str, session: ClientSession) -> tuple[int, bool]:
    """The job's revision, 0 of one that is gone, and whether it has ended."""
    job = collections.jobs.find_one({"_id": job_id}, {"revision": True, "state": True}, session=session)
    return (0, False) if job is None else (int(job["revision"]), job["state"] in _ENDED_STATES)


def count_by_state(collections: Collections, job_id: str, session: ClientSession | None = None) -> TaskCounts:
    """Counts by state, counted from the whole tasks."""
    blocks = collections.blocks.find(
        {"job_id": job_id, "of_parts": False}, {"tasks.id": True, "tasks.state": True}, session=session
    )
    return TaskCounts(
        Counter(TaskState(record["state"]) for block in blocks for record in block_tasks(block, "state"))
    )
