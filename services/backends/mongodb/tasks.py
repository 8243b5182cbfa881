"""Task records in MongoDB: exactly-once bookkeeping by attempt."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import UpdateMany, UpdateOne

from services.backends.documents import Document, result_document
from services.backends.mongodb.database import Database, Transaction
from services.backends.mongodb.models import (
    as_named,
    fits_inline,
    remove_models,
    remove_writing,
    write_models,
)
from services.backends.mongodb.parts import align
from services.backends.mongodb.records import KEY_FIELDS, read_key_record
from services.backends.sqlite.task_rows import bic_column
from services.core.tasks import TaskKey, TaskOutcome, TaskState, lost_too_often

__all__ = ["MongoTasks"]

_BOOKKEEPING = dict.fromkeys(
    (*KEY_FIELDS, "n_parts", "state", "attempt_id", "attempts", "losses", "lease_until"), True
)
_RUNNING: Mapping[str, Any] = {"state": TaskState.RUNNING.value}
# Ids in one statement: a server may compare every record with every id.
_IDS_AT_ONCE = 64
_CHANGED = ("revision",)
_WAITING_FROM = ("revision", "waiting_from")
_RELEASED: Mapping[str, Any] = {
    "state": TaskState.PENDING.value,
    "attempt_id": "",
    "lease_until": None,
}


class MongoTasks:
    """The changes of `services.core.ports.TaskStore`; `MongoTaskListings` answers its questions.

    A call that names tasks of several jobs changes each job in a transaction of its own.
    """

    def __init__(self, database: Database) -> None:
        """Keep tasks in this database."""
        self._database = database

    def claim_tasks(
        self, keys: Sequence[TaskKey], attempt_id: str, lease_until: datetime, now: datetime
    ) -> tuple[TaskKey, ...]:
        """See the port."""
        # Tasks of ended jobs need no look of their own: ending a job leaves none of them free.
        claimed = {
            "state": TaskState.RUNNING.value,
            "attempt_id": attempt_id,
            "lease_until": lease_until,
            "started_at": now,
        }
        return self._change_named(keys, _is_pending, {"$set": claimed, "$inc": {"attempts": 1}}, now)

    def renew_lease(self, attempt_id: str, lease_until: datetime) -> int:
        """See the port."""
        if not attempt_id:
            return 0  # what the tasks of parts have: they are RUNNING without an attempt of their own

        def renew(transaction: Transaction) -> int:
            return transaction.collections.tasks.update_many(
                {"attempt_id": attempt_id, **_RUNNING},
                {"$set": {"lease_until": lease_until}},
                session=transaction.session,
            ).matched_count

        return self._database.change(attempt_id, renew)

    def finish_tasks(
        self, attempt_id: str, outcomes: Sequence[TaskOutcome], now: datetime
    ) -> tuple[TaskKey, ...]:
        """See the port."""
        by_key = {outcome.key: outcome for outcome in outcomes}
        written: set[TaskKey] = set()
        for job_id, keys in _by_job(by_key).items():
            written.update(self._finish(job_id, attempt_id, {key: by_key[key] for key in keys}, now))
        return tuple(key for key in by_key if key in written)

    def release_tasks(self, attempt_id: str, now: datetime) -> tuple[TaskKey, ...]:
        """See the port."""
        return self._change_running({"attempt_id": attempt_id}, _is_run, {"$set": _RELEASED}, now)

    def fail_tasks(self, keys: Sequence[TaskKey], error: str, now: datetime) -> tuple[TaskKey, ...]:
        """See the port."""
        return self._change_named(keys, _is_free_at(now), {"$set": _to_error(error, now)}, now)

    def expire_leases(self, now: datetime, max_losses: int | None = None) -> tuple[str, ...]:
        """See the port."""
        ended: Document = {"lease_until": {"$lt": now}}
        given_up: tuple[TaskKey, ...] = ()
        if max_losses is not None:
            error = _to_error(lost_too_often(max_losses + 1), now)
            given_up = self._change_running(ended, _is_lost_often(max_losses), {"$set": error}, now)
        lost = self._change_running(
            ended, _is_run, {"$set": _RELEASED, "$inc": {"losses": 1}}, now, stamps=_WAITING_FROM
        )
        return tuple(dict.fromkeys(key.job_id for key in (*given_up, *lost)))

    def _change_named(
        self,
        keys: Sequence[TaskKey],
        holds: Callable[[Document], bool],
        update: Document,
        moved_at: datetime,
    ) -> tuple[TaskKey, ...]:
        """Change the state of those of the tasks for which the condition holds; them in the order given."""
        changed: set[TaskKey] = set()
        for job_id, of_job in _by_job(keys).items():
            changed.update(self._change(job_id, _named(of_job), holds, update, moved_at))
        return tuple(key for key in dict.fromkeys(keys) if key in changed)

    def _change_running(
        self,
        indexed: Document,
        holds: Callable[[Document], bool],
        update: Document,
        moved_at: datetime,
        stamps: Sequence[str] = _CHANGED,
    ) -> tuple[TaskKey, ...]:
        """Change every RUNNING task for which both conditions hold; return them by key.

        `indexed`, an attempt or a lease, alone is asked of the server: the index of running tasks has both.
        """
        running = {**indexed, **_RUNNING}
        # Asked first: there is nothing almost every time, and then nobody has to wait for a turn.
        with self._database.calls() as collections:
            # Named, as no server would choose it for a lease, which is not its first field.
            records = collections.tasks.find(running, _BOOKKEEPING, hint="by_attempt")
            found = _by_job(read_key_record(record) for record in records if holds(record))
        # Then by `_id`, and only where that is still so: a lease may have been renewed meanwhile.
        return tuple(
            key
            for job_id in sorted(found)
            for key in sorted(
                self._change(job_id, {**_named(found[job_id]), **running}, holds, update, moved_at, stamps)
            )
        )

    def _change(
        self,
        job_id: str,
        wanted: Document,
        holds: Callable[[Document], bool],
        update: Document,
        moved_at: datetime,
        stamps: Sequence[str] = _CHANGED,
    ) -> list[TaskKey]:
        """Change the tasks and set the fields `stamps` to the revision at which that is."""

        def change(transaction: Transaction) -> list[TaskKey]:
            revision = transaction.next_revision(job_id)
            changed = [] if revision is None else list(_find(transaction, wanted, holds))
            if revision is None or not changed:
                transaction.undo()
                return []
            # By nothing but `_id`: what was found cannot have changed since, the revision sees to that.
            stamped = {**update, "$set": {**update["$set"], **dict.fromkeys(stamps, revision)}}
            transaction.collections.tasks.bulk_write(
                [UpdateMany(_named(some), stamped) for some in _some_at_once(changed)],
                ordered=False,
                session=transaction.session,
            )
            align(transaction, changed, revision, moved_at)
            return changed

        return self._database.change(job_id, change)

    def _finish(
        self, job_id: str, attempt_id: str, by_key: Mapping[TaskKey, TaskOutcome], now: datetime
    ) -> list[TaskKey]:
        encoded = {key: o.model.to_bytes() for key, o in by_key.items() if o.model is not None}
        large = {key: data for key, data in encoded.items() if not fits_inline(data)}
        models = {key: as_named(data) for key, data in encoded.items() if key not in large}
        writing = ""
        if large:
            with self._database.calls() as collections:
                writing, chunked = write_models(collections, large)
            models |= chunked

        def holds(record: Document) -> bool:
            return bool(record["state"] == TaskState.RUNNING.value and record["attempt_id"] == attempt_id)

        def finish(transaction: Transaction) -> list[TaskKey]:
            revision = transaction.next_revision(job_id)
            attempts = {} if revision is None else _find(transaction, _named(by_key), holds)
            held = list(attempts)
            if revision is None or not held:
                transaction.undo()
                return []
            transaction.collections.tasks.bulk_write(
                [
                    UpdateOne(
                        {"_id": key.id},
                        {"$set": {**_end(by_key[key], now, models), "revision": revision}},
                    )
                    for key in held
                ],
                ordered=False,
                session=transaction.session,
            )
            # What attempts left that died while they wrote: almost always there were none.
            remove_models(transaction, [key for key in held if attempts[key] > 1], but=writing)
            align(transaction, held, revision, now)
            return held

        # When this fails, whether it was committed may be unknown. What was written stays then: if no task
        # names it, a later attempt, a retry or the end of the job removes it.
        held = self._database.change(job_id, finish)
        lost = [key for key in large if key not in set(held)]
        if lost:
            with self._database.calls() as collections:
                remove_writing(collections, lost, writing)
        return held


def _is_run(record: Document) -> bool:
    # A task in parts is RUNNING, too, without an attempt or a lease of its own.
    return not record["n_parts"]


def _is_lost_often(losses: int) -> Callable[[Document], bool]:
    def is_lost_often(record: Document) -> bool:
        return _is_run(record) and bool(record["losses"] >= losses)

    return is_lost_often


def _is_pending(record: Document) -> bool:
    return not record["n_parts"] and record["state"] == TaskState.PENDING.value


def _is_free_at(now: datetime) -> Callable[[Document], bool]:
    def is_free(record: Document) -> bool:
        if record["state"] == TaskState.RUNNING.value:
            return not record["n_parts"] and bool(record["lease_until"] < now)
        return _is_pending(record)

    return is_free


def _to_error(error: str, now: datetime) -> Document:
    return {
        "state": TaskState.ERROR.value,
        "attempt_id": "",
        "lease_until": None,
        "ended_at": now,
        "error": error,
    }


def _some_at_once(keys: Iterable[TaskKey]) -> Iterator[tuple[TaskKey, ...]]:
    left = iter(keys)
    while some := tuple(itertools.islice(left, _IDS_AT_ONCE)):
        yield some


def _named(keys: Iterable[TaskKey]) -> Document:
    return {"_id": {"$in": [key.id for key in keys]}}


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


def _find(
    transaction: Transaction, wanted: Document, holds: Callable[[Document], bool]
) -> dict[TaskKey, int]:
    """Those of the tasks for which the condition holds, and how often each was claimed."""
    records = transaction.collections.tasks.find(wanted, _BOOKKEEPING, session=transaction.session)
    return {read_key_record(record): record["attempts"] for record in records if holds(record)}


def _by_job(keys: Iterable[TaskKey]) -> dict[str, list[TaskKey]]:
    by_job: dict[str, list[TaskKey]] = {}
    for key in dict.fromkeys(keys):
        by_job.setdefault(key.job_id, []).append(key)
    return by_job
