"""Task records in MongoDB: exactly-once bookkeeping by attempt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from pymongo import ASCENDING, UpdateOne

from services.backends.documents import Document, result_document
from services.backends.mongodb.database import Database, Transaction
from services.backends.mongodb.models import remove_models, remove_writing, write_models
from services.backends.mongodb.records import KEY_FIELDS, read_key_record
from services.backends.sqlite.task_rows import bic_column
from services.core.tasks import TaskKey, TaskOutcome, TaskState

__all__ = ["MongoTasks"]

K = TypeVar("K", TaskKey, TaskOutcome)

_KEY_ORDER = [("experiment", ASCENDING), ("k", ASCENDING), ("covariance", ASCENDING)]
_TO_PENDING: Mapping[str, Any] = {
    "state": TaskState.PENDING.value,
    "attempt_id": "",
    "lease_until": None,
    "published_at": None,
}


class MongoTasks:
    """The changes of `services.core.ports.TaskStore`; `MongoTaskListings` answers its questions.

    A call that names tasks of several jobs changes each job in a transaction of its own.
    """

    def __init__(self, database: Database) -> None:
        """Keep tasks in this database."""
        self._database = database

    def mark_published(self, keys: Sequence[TaskKey], now: datetime) -> None:
        """See the port."""
        self._change_named(keys, {"state": {"$in": ["pending", "running"]}}, {"$set": {"published_at": now}})

    def claim_tasks(
        self, keys: Sequence[TaskKey], attempt_id: str, lease_until: datetime, now: datetime
    ) -> tuple[TaskKey, ...]:
        """See the port."""
        # Tasks of ended jobs need no look of their own: ending a job leaves none of them free.
        return self._change_named(
            keys,
            _free(now),
            {
                "$set": {
                    "state": TaskState.RUNNING.value,
                    "attempt_id": attempt_id,
                    "lease_until": lease_until,
                    "started_at": now,
                },
                "$inc": {"attempts": 1},
            },
        )

    def renew_lease(self, attempt_id: str, lease_until: datetime) -> int:
        """See the port."""
        running = {"state": "running", "attempt_id": attempt_id}
        return len(self._change_running(running, {"$set": {"lease_until": lease_until}}))

    def finish_tasks(
        self, attempt_id: str, outcomes: Sequence[TaskOutcome], now: datetime
    ) -> tuple[TaskKey, ...]:
        """See the port."""
        by_key = {outcome.key: outcome for outcome in outcomes}
        written: set[TaskKey] = set()
        for job_id, of_job in _by_job(by_key).items():
            written.update(self._finish(job_id, attempt_id, [by_key[key] for key in of_job], now))
        return tuple(key for key in by_key if key in written)

    def release_tasks(self, attempt_id: str, now: datetime) -> tuple[TaskKey, ...]:
        """See the port."""
        return self._change_running({"state": "running", "attempt_id": attempt_id}, {"$set": _TO_PENDING})

    def fail_tasks(self, keys: Sequence[TaskKey], error: str, now: datetime) -> tuple[TaskKey, ...]:
        """See the port."""
        failed = {
            "state": TaskState.ERROR.value,
            "attempt_id": "",
            "lease_until": None,
            "ended_at": now,
            "error": error,
        }
        return self._change_named(keys, _free(now), {"$set": failed})

    def expire_leases(self, now: datetime) -> tuple[str, ...]:
        """See the port."""
        lost = self._change_running({"state": "running", "lease_until": {"$lt": now}}, {"$set": _TO_PENDING})
        return tuple(dict.fromkeys(key.job_id for key in lost))

    def _change_named(
        self, keys: Sequence[TaskKey], condition: Document, update: Document
    ) -> tuple[TaskKey, ...]:
        """Change those of the tasks for which the condition holds; return them in the order given."""
        changed: set[TaskKey] = set()
        for job_id, of_job in _by_job(keys).items():
            condition_here = {"_id": {"$in": [key.id for key in of_job]}, **condition}
            changed.update(self._change(job_id, condition_here, update))
        return tuple(key for key in dict.fromkeys(keys) if key in changed)

    def _change_running(self, condition: Document, update: Document) -> tuple[TaskKey, ...]:
        """Change every task for which the condition holds; return them by key."""
        # Asked first: there is nothing almost every time, and then nobody has to wait for a turn.
        with self._database.calls() as collections:
            job_ids = sorted(collections.tasks.distinct("job_id", condition))
        return tuple(
            key for job_id in job_ids for key in self._change(job_id, {"job_id": job_id, **condition}, update)
        )

    def _change(self, job_id: str, condition: Document, update: Document) -> tuple[TaskKey, ...]:
        def change(transaction: Transaction) -> tuple[TaskKey, ...]:
            revision = transaction.next_revision(job_id)
            if revision is None:
                return ()
            n_changed = transaction.collections.tasks.update_many(
                condition,
                {**update, "$set": {**update["$set"], "revision": revision}},
                session=transaction.session,
            ).matched_count
            if not n_changed:
                transaction.undo()
                return ()
            return _stamped(transaction, job_id, revision)

        return self._database.change(job_id, change)

    def _finish(
        self, job_id: str, attempt_id: str, outcomes: Sequence[TaskOutcome], now: datetime
    ) -> tuple[TaskKey, ...]:
        encoded = {o.key: o.model.to_bytes() for o in outcomes if o.model is not None}
        models: dict[TaskKey, Document] = {}
        if encoded:
            with self._database.calls() as collections:
                models = write_models(collections, encoded)
        writing = next((model["id"] for model in models.values()), "")

        def finish(transaction: Transaction) -> tuple[TaskKey, ...]:
            revision = transaction.next_revision(job_id)
            if revision is None:
                return ()
            n_written = transaction.collections.tasks.bulk_write(
                [
                    UpdateOne(
                        {"_id": outcome.key.id, "state": "running", "attempt_id": attempt_id},
                        {"$set": {**_end(outcome, now, models), "revision": revision}},
                    )
                    for outcome in outcomes
                ],
                ordered=False,
                session=transaction.session,
            ).matched_count
            if not n_written:
                transaction.undo()
                return ()
            held = (
                tuple(outcome.key for outcome in outcomes)
                if n_written == len(outcomes)
                else _stamped(transaction, job_id, revision)
            )
            # What attempts left that died while they wrote.
            remove_models(transaction, held, but=writing)
            return held

        # When this fails, whether it was committed may be unknown: what was written stays until the
        # task's next change.
        held = self._database.change(job_id, finish)
        lost = [key for key in encoded if key not in set(held)]
        if lost:
            with self._database.calls() as collections:
                remove_writing(collections, lost, writing)
        return held


def _free(now: datetime) -> Document:
    return {"$or": [{"state": "pending"}, {"state": "running", "lease_until": {"$lt": now}}]}


def _end(outcome: TaskOutcome, now: datetime, models: Mapping[TaskKey, Document]) -> Document:
    result = outcome.result
    return {
        "state": outcome.state.value,
        "lease_until": None,
        "ended_at": now,
        "seconds": outcome.seconds,
        "bic": bic_column(result),
        "result": None if result is None else result_document(result),
        "error": outcome.error,
        "model": models.get(outcome.key),
    }


def _stamped(transaction: Transaction, job_id: str, revision: int) -> tuple[TaskKey, ...]:
    records = transaction.collections.tasks.find(
        {"job_id": job_id, "revision": revision},
        dict.fromkeys(KEY_FIELDS, True),
        sort=_KEY_ORDER,
        session=transaction.session,
    )
    return tuple(map(read_key_record, records))


def _by_job(keys: Iterable[TaskKey]) -> dict[str, list[TaskKey]]:
    by_job: dict[str, list[TaskKey]] = {}
    for key in dict.fromkeys(keys):
        by_job.setdefault(key.job_id, []).append(key)
    return by_job
