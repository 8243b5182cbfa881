"""The life of a job in SQLite: each change of its state together with that of its tasks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.backends.missing import task_not_found
from services.backends.sqlite.database import Database, Transaction
from services.backends.sqlite.jobs import fetch_job
from services.backends.sqlite.parts import PARTS_OF, whole_row
from services.backends.sqlite.records import KEY_COLUMNS, WHOLES, key_row, read_key_row, to_micros
from services.backends.sqlite.task_rows import KEY_IS, change, counts
from services.backends.sqlite.usage import usage_of
from services.core.jobs import Job, JobState, state_when_all_ended
from services.core.parts import with_parts_counted
from services.core.quotas import NO_LIMITS, OwnerLimits, check_retry
from services.core.tasks import TaskKey, TaskState

__all__ = ["SqliteJobLife"]


class SqliteJobLife:
    """The changes of state of `services.core.ports.JobStore`."""

    def __init__(self, database: Database) -> None:
        """Change jobs in this database."""
        self._database = database

    def start_job(self, job_id: str, keys: Sequence[TaskKey], now: datetime) -> Job:
        """See the port."""
        with self._database.write() as transaction:
            job = fetch_job(transaction, job_id)
            if job.state.is_terminal:
                return job
            known = _keys(transaction, job_id)
            new = with_parts_counted(key for key in keys if key.whole not in known)
            if not new and job.state is JobState.RUNNING:
                return job
            revision = transaction.next_revision(job_id)
            transaction.execute_many(
                f"INSERT INTO tasks ({KEY_COLUMNS}, n_parts, state, revision) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (*key_row(key), n_parts, TaskState.PENDING.value, revision)
                    for key, n_parts in sorted(new.items())
                ],
            )
            if job.state is JobState.PENDING:
                transaction.execute(
                    "UPDATE jobs SET state = ?, started_at = ? WHERE id = ?",
                    (JobState.RUNNING.value, to_micros(now), job_id),
                )
            return fetch_job(transaction, job_id)

    def close_job(self, job_id: str, now: datetime) -> Job:
        """See the port."""
        with self._database.write() as transaction:
            job = fetch_job(transaction, job_id)
            state = state_when_all_ended(counts(transaction, job_id))
            if job.state is not JobState.RUNNING or state is None:
                return job
            return _end(transaction, job_id, state, "", now)

    def fail_job(self, job_id: str, failure: str, now: datetime) -> Job:
        """See the port."""
        return self._stop(job_id, JobState.FAILED, failure, now)

    def cancel_job(self, job_id: str, now: datetime) -> Job:
        """See the port."""
        return self._stop(job_id, JobState.CANCELLED, "", now)

    def retry_tasks(
        self,
        job_id: str,
        keys: Sequence[TaskKey] | None,
        now: datetime,
        limits: OwnerLimits = NO_LIMITS,
    ) -> Job:
        """See the port."""
        with self._database.write() as transaction:
            job = fetch_job(transaction, job_id)
            states = {
                read_key_row(row[:6]): TaskState(row[6])
                for row in transaction.all(
                    f"SELECT {KEY_COLUMNS}, state FROM tasks WHERE {WHOLES} AND job_id = ?", (job_id,)
                )
            }
            if keys is None:
                again = {key for key, state in states.items() if state is TaskState.ERROR}
                if not states and job.state is JobState.FAILED:
                    _check_retry(transaction, job, job.spec.n_tasks, limits)
                    return _reopen(transaction, job_id, JobState.PENDING)
            else:
                for key in keys:
                    if key not in states:
                        raise task_not_found(key)
                again = {key for key in keys if states[key].is_terminal}
            if not again:
                return job
            _check_retry(transaction, job, len(again), limits)
            _set_back(transaction, sorted(again))
            return _reopen(transaction, job_id, JobState.RUNNING)

    def _stop(self, job_id: str, state: JobState, failure: str, now: datetime) -> Job:
        with self._database.write() as transaction:
            job = fetch_job(transaction, job_id)
            if job.state.is_terminal:
                return job
            transaction.execute(
                "UPDATE tasks SET state = ?, ended_at = ?, attempt_id = '', lease_until = NULL, "
                "revision = ? WHERE job_id = ? AND state IN ('pending', 'running')",
                (
                    TaskState.CANCELLED.value,
                    to_micros(now),
                    transaction.next_revision(job_id),
                    job_id,
                ),
            )
            # Of parts only: the model of a task that is DONE is the task's.
            transaction.execute("DELETE FROM models WHERE job_id = ? AND n_starts > 0", (job_id,))
            return _end(transaction, job_id, state, failure, now)


def _check_retry(transaction: Transaction, job: Job, tasks: int, limits: OwnerLimits) -> None:
    if limits != NO_LIMITS:
        check_retry(limits, usage_of(transaction, job.owner), job, tasks)


def _keys(transaction: Transaction, job_id: str) -> set[TaskKey]:
    rows = transaction.all(f"SELECT {KEY_COLUMNS} FROM tasks WHERE {WHOLES} AND job_id = ?", (job_id,))
    return set(map(read_key_row, rows))


def _end(transaction: Transaction, job_id: str, state: JobState, failure: str, now: datetime) -> Job:
    transaction.next_revision(job_id)
    transaction.execute(
        "UPDATE jobs SET state = ?, failure = ?, ended_at = ? WHERE id = ?",
        (state.value, failure, to_micros(now), job_id),
    )
    return fetch_job(transaction, job_id)


def _reopen(transaction: Transaction, job_id: str, state: JobState) -> Job:
    transaction.next_revision(job_id)
    transaction.execute(
        "UPDATE jobs SET state = ?, failure = '', ended_at = NULL WHERE id = ?",
        (state.value, job_id),
    )
    return fetch_job(transaction, job_id)


def _set_back(transaction: Transaction, keys: Sequence[TaskKey]) -> None:
    transaction.execute_many(f"DELETE FROM models WHERE {KEY_IS}", [key_row(key) for key in keys])
    parts = f"SELECT {KEY_COLUMNS} FROM tasks WHERE {PARTS_OF}"
    keys = [*keys, *(read_key_row(row) for key in keys for row in transaction.all(parts, whole_row(key)))]
    # started_at stays: it says when the last attempt began.
    change(
        transaction,
        keys,
        "state = 'pending', attempt_id = '', published_at = NULL, ended_at = NULL, seconds = 0.0, "
        "bic = NULL, result = NULL, error = '', losses = 0",
        (),
    )
