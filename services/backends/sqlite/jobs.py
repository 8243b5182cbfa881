"""Job records in SQLite, and waiting for them to change."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Mapping
from operator import itemgetter

from services.backends.missing import dataset_not_found, job_not_found
from services.backends.request_ids import same_job
from services.backends.sort_keys import read_sort_key
from services.backends.sound import read_sound
from services.backends.sqlite.database import Database, Transaction
from services.backends.sqlite.failures import closed_store
from services.backends.sqlite.records import (
    JOB_COLUMNS,
    TASK_COLUMNS,
    WHOLES,
    job_row,
    read_job_row,
    read_task_row,
)
from services.backends.sqlite.usage import usage_of
from services.core.errors import FailedPrecondition
from services.core.jobs import Job, JobFilter, JobState
from services.core.pages import Page, PageRequest
from services.core.quotas import NO_LIMITS, OwnerLimits, check_quota
from services.core.tasks import Task

__all__ = ["SqliteJobs", "fetch_job"]

_STATES = frozenset(JobState)
_DISPLAY_NAME = JOB_COLUMNS.split(", ").index("display_name")
_CREATED_AT = JOB_COLUMNS.split(", ").index("created_at")

_POLL_SECONDS = 0.2  # other processes cannot wake us: how old their changes may get


class SqliteJobs:
    """The records of `services.core.ports.JobStore`; `SqliteJobLife` has the changes of state."""

    def __init__(self, database: Database) -> None:
        """Keep jobs in this database."""
        self._database = database

    def insert_job(self, job: Job, limits: OwnerLimits = NO_LIMITS) -> Job:
        """See the port."""
        with self._database.write() as transaction:
            made = _made_before(transaction, job)
            if made is not None:
                return made
            dataset_id = job.spec.dataset_id
            if transaction.one("SELECT 1 FROM datasets WHERE id = ?", (dataset_id,)) is None:
                raise dataset_not_found(dataset_id)
            if limits != NO_LIMITS:
                usage = usage_of(transaction, job.owner)
                check_quota(limits, usage, job.owner, jobs=1, tasks=job.spec.n_tasks)
            row = job_row(job)
            transaction.execute(f"INSERT INTO jobs ({JOB_COLUMNS}) VALUES ({', '.join('?' * len(row))})", row)
        return job

    def job_made_before(self, job: Job) -> Job | None:
        """See the port."""
        with self._database.read() as transaction:
            return _made_before(transaction, job)

    def get_job(self, job_id: str) -> Job:
        """See the port."""
        with self._database.read() as transaction:
            return fetch_job(transaction, job_id)

    def list_jobs(self, job_filter: JobFilter, page: PageRequest) -> Page[Job]:
        """See the port."""
        conditions, parameters = ["TRUE"], list[str | int | float]()
        if job_filter.owner is not None:
            conditions.append("owner = ?")
            parameters.append(job_filter.owner)
        if job_filter.dataset_id is not None:
            conditions.append("dataset_id = ?")
            parameters.append(job_filter.dataset_id)
        if job_filter.states is not None:
            conditions.append(f"state IN ({', '.join('?' * len(job_filter.states))})")
            parameters.extend(state.value for state in job_filter.states)
        after = read_sort_key(page, int, str)
        if after is not None:
            conditions.append("(created_at, id) < (?, ?)")
            parameters.extend(after)
        with self._database.read() as transaction:
            found = transaction.execute(
                f"SELECT {JOB_COLUMNS} FROM jobs WHERE {' AND '.join(conditions)} "
                "ORDER BY created_at DESC, id DESC LIMIT ?",
                (*parameters, page.size + 1 if job_filter.query is None else -1),
            )
            # What is searched for is asked of row after row, as far as the page needs. Closed, or the
            # connection would keep seeing the store of this moment.
            with contextlib.closing(found):
                wanted = (row for row in found if job_filter.finds(row[0], row[_DISPLAY_NAME]))
                rows = list(itertools.islice(wanted, page.size + 1))
        shown = rows[: page.size]
        items = read_sound(shown, read_job_row, itemgetter(0))
        if len(rows) <= page.size:
            return Page(items)
        # From the row, not the last item: the row may be damaged, the page empty.
        return Page(items, page.token_after((shown[-1][_CREATED_AT], shown[-1][0])))

    def count_jobs(self) -> Mapping[JobState, int]:
        """See the port."""
        with self._database.read() as transaction:
            rows = transaction.all("SELECT state, count(*) FROM jobs GROUP BY state")
        return {JobState(state): count for state, count in rows if state in _STATES}

    def unfinished_jobs(self) -> tuple[Job, ...]:
        """See the port."""
        with self._database.read() as transaction:
            rows = transaction.all(
                f"SELECT {JOB_COLUMNS} FROM jobs WHERE state IN ('pending', 'running') "
                "ORDER BY created_at, id"
            )
        return read_sound(rows, read_job_row, itemgetter(0))

    def delete_job(self, job_id: str) -> None:
        """See the port."""
        with self._database.write() as transaction:
            job = fetch_job(transaction, job_id)
            if not job.state.is_terminal:
                raise FailedPrecondition(
                    f"Job {job_id} has not ended. Cancel it first.",
                    "JOB_NOT_ENDED",
                    {"job": f"jobs/{job_id}"},
                )
            transaction.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
            transaction.changed_jobs.add(job_id)

    def wait_for_change(self, job_id: str, revision: int, timeout_seconds: float) -> int:
        """See the port. StoreUnavailable when the store is closed while waiting."""
        deadline = time.monotonic() + timeout_seconds
        with self._database.wakeups.listening(job_id) as changed:
            while True:
                # Cleared before looking: a change that comes after the look sets it again.
                changed.clear()
                if self._database.closed:
                    raise closed_store()
                current = self._revision(job_id)
                remaining = deadline - time.monotonic()
                if current > revision or remaining <= 0:
                    return current
                changed.wait(min(remaining, _POLL_SECONDS))

    def changed_tasks(self, job_id: str, revision: int, limit: int) -> tuple[Task, ...]:
        """See the port."""
        with self._database.read() as transaction:
            # Tasks changed together share a revision. A cut among them would lose the rest of them
            # to a caller that goes on from the last revision it saw.
            last = transaction.one(
                f"SELECT revision FROM tasks WHERE {WHOLES} AND job_id = ? AND revision > ? "
                "ORDER BY revision LIMIT 1 OFFSET ?",
                (job_id, revision, limit - 1),
            )
            until = (2**63 - 1,) if last is None else last
            rows = transaction.all(
                f"SELECT {TASK_COLUMNS} FROM tasks WHERE {WHOLES} AND job_id = ? AND revision > ? "
                "AND revision <= ? ORDER BY revision, experiment, k, covariance",
                (job_id, revision, *until),
            )
        return tuple(map(read_task_row, rows))

    def _revision(self, job_id: str) -> int:
        with self._database.read() as transaction:
            row = transaction.one("SELECT revision FROM jobs WHERE id = ?", (job_id,))
        if row is None:
            raise job_not_found(job_id)
        return int(row[0])


def fetch_job(transaction: Transaction, job_id: str) -> Job:
    """The job, or NotFound."""
    row = transaction.one(f"SELECT {JOB_COLUMNS} FROM jobs WHERE id = ?", (job_id,))
    if row is None:
        raise job_not_found(job_id)
    return read_job_row(row)


def _made_before(transaction: Transaction, job: Job) -> Job | None:
    if not job.request_id:
        return None
    row = transaction.one(
        f"SELECT {JOB_COLUMNS} FROM jobs WHERE owner = ? AND request_id = ?", (job.owner, job.request_id)
    )
    return None if row is None else same_job(read_job_row(row), job)
