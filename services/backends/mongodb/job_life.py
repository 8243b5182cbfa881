"""The life of a job in MongoDB: each change of its state together with that of its tasks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.backends.documents import Document
from services.backends.missing import task_not_found
from services.backends.mongodb.blocks import JobBlocks
from services.backends.mongodb.database import Database, Transaction
from services.backends.mongodb.jobs import fetch_job
from services.backends.mongodb.models import remove_models
from services.backends.mongodb.parts import remove_part_models
from services.backends.mongodb.records import NEW_TASK
from services.backends.mongodb.states import count_by_state
from services.backends.mongodb.usage import hold_owner, note_owner
from services.core.jobs import Job, JobState, state_when_all_ended
from services.core.parts import with_parts_counted
from services.core.quotas import NO_LIMITS, OwnerLimits, check_retry
from services.core.tasks import TaskKey, TaskState

__all__ = ["MongoJobLife"]

_TERMINAL = frozenset(state.value for state in TaskState if state.is_terminal)


class MongoJobLife:
    """The changes of state of `services.core.ports.JobStore`.

    Each raises the revision before it reads tasks, and undoes that when there is nothing to change: who looks
    through a large job first would begin anew with every change that others make meanwhile.
    """

    def __init__(self, database: Database) -> None:
        """Change jobs in this database."""
        self._database = database

    def start_job(self, job_id: str, keys: Sequence[TaskKey], now: datetime) -> Job:
        """See the port."""

        def start(transaction: Transaction) -> Job:
            collections, session = transaction.collections, transaction.session
            job = fetch_job(collections, job_id, session)
            if job.state.is_terminal:
                return job
            revision = _next_revision(transaction, job_id)
            blocks = JobBlocks(transaction, job_id)
            there = blocks.every_task()
            new = with_parts_counted(key for key in keys if key.whole not in there)
            if not new and job.state is JobState.RUNNING:
                transaction.undo()
                return job
            # All at once, as a job whose tasks are there in part could be closed before its time.
            if new:
                blocks.add(new, revision)
            if job.state is JobState.PENDING:
                return _set(transaction, job_id, {"state": JobState.RUNNING.value, "started_at": now})
            return fetch_job(collections, job_id, session)

        return self._database.change(job_id, start)

    def close_job(self, job_id: str, now: datetime) -> Job:
        """See the port."""

        def close(transaction: Transaction) -> Job:
            collections, session = transaction.collections, transaction.session
            job = fetch_job(collections, job_id, session)
            if job.state is not JobState.RUNNING:
                return job
            state = state_when_all_ended(count_by_state(collections, job_id, session))
            if state is None:
                return job
            _next_revision(transaction, job_id)
            return _end(transaction, job_id, state, "", now)

        return self._database.change(job_id, close)

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
        if limits != NO_LIMITS:
            with self._database.calls() as collections:
                note_owner(collections, fetch_job(collections, job_id).owner)

        def retry(transaction: Transaction) -> Job:
            job = fetch_job(transaction.collections, job_id, transaction.session)
            revision = _next_revision(transaction, job_id)
            blocks = JobBlocks(transaction, job_id)
            records = blocks.every_task() if keys is None else blocks.tasks(keys)
            if keys is None:
                again = {
                    key
                    for key, record in records.items()
                    if not key.is_part and record["state"] == TaskState.ERROR.value
                }
                if job.state is JobState.FAILED and not records:
                    _check_retry(transaction, job, job.spec.n_tasks, limits)
                    return _reopen(transaction, job_id, JobState.PENDING)
            else:
                for key in keys:
                    if key not in records or key.is_part or key.job_id != job_id:
                        raise task_not_found(key)
                again = {key for key in keys if records[key]["state"] in _TERMINAL}
            if not again:
                transaction.undo()
                return job
            _check_retry(transaction, job, len(again), limits)
            cleared = {key: records[key] for key in again}
            for key in again:
                if records[key]["n_parts"]:
                    cleared |= blocks.parts(key)
            remove_models(transaction, {key: record["model"] for key, record in cleared.items()})
            for key in cleared:
                # started_at stays: it says when the last attempt began.
                blocks.change(key, {**NEW_TASK, "waiting_from": revision})
            blocks.write(revision)
            return _reopen(transaction, job_id, JobState.RUNNING)

        return self._database.change(job_id, retry)

    def _stop(self, job_id: str, state: JobState, failure: str, now: datetime) -> Job:
        def stop(transaction: Transaction) -> Job:
            collections, session = transaction.collections, transaction.session
            job = fetch_job(collections, job_id, session)
            if job.state.is_terminal:
                return job
            revision = _next_revision(transaction, job_id)
            # Without a look at the tasks: a job with a damaged one can be ended, too.
            unfinished = {"$in": [TaskState.PENDING.value, TaskState.RUNNING.value]}
            collections.blocks.update_many(
                {"job_id": job_id, "tasks.state": unfinished},
                {
                    "$set": {
                        "revision": revision,
                        "tasks.$[left].revision": revision,
                        "tasks.$[left].ended_at": now,
                        "tasks.$[left].attempt_id": "",
                        # Last, as some servers look for those left at every field.
                        "tasks.$[left].state": TaskState.CANCELLED.value,
                    }
                },
                array_filters=[{"left.state": unfinished}],
                session=session,
            )
            remove_part_models(transaction, job_id)
            collections.claims.delete_many({"job_id": job_id}, session=session)
            return _end(transaction, job_id, state, failure, now)

        return self._database.change(job_id, stop)


def _check_retry(transaction: Transaction, job: Job, tasks: int, limits: OwnerLimits) -> None:
    if limits != NO_LIMITS:
        check_retry(limits, hold_owner(transaction, job.owner), job, tasks)


def _next_revision(transaction: Transaction, job_id: str) -> int:
    revision = transaction.next_revision(job_id)
    if revision is None:
        raise LookupError(f"no job {job_id}")
    return revision


def _end(transaction: Transaction, job_id: str, state: JobState, failure: str, now: datetime) -> Job:
    return _set(transaction, job_id, {"state": state.value, "failure": failure, "ended_at": now})


def _reopen(transaction: Transaction, job_id: str, state: JobState) -> Job:
    return _set(transaction, job_id, {"state": state.value, "failure": "", "ended_at": None})


def _set(transaction: Transaction, job_id: str, fields: Document) -> Job:
    collections, session = transaction.collections, transaction.session
    collections.jobs.update_one({"_id": job_id}, {"$set": fields}, session=session)
    return fetch_job(collections, job_id, session)
