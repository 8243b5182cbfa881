"""Changes of tasks in MongoDB: exactly-once bookkeeping by attempt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog

from services.backends.documents import Document, result_document
from services.backends.mongodb.blocks import JobBlocks
from services.backends.mongodb.claims import Hold, leases_of, write_claim
from services.backends.mongodb.database import Database, Transaction
from services.backends.mongodb.models import (
    is_packed,
    remove_chunks,
    remove_writing,
    write_chunks,
    write_pack,
)
from services.backends.mongodb.parts import align
from services.core.errors import DataLoss
from services.core.jobs import JobState
from services.core.tasks import TaskKey, TaskOutcome, TaskState, lost_too_often

__all__ = ["MongoTasks"]

# Which fields of which tasks are to change at this revision, in the transaction given.
_Decision = Callable[[Transaction, JobBlocks, int], Mapping[TaskKey, Document]]

# Of a sentence: sixty of them share a document.
_ERROR_CHARS = 4000
_NEVER = datetime.min.replace(tzinfo=UTC)
_RELEASED: Mapping[str, Any] = {"state": TaskState.PENDING.value, "attempt_id": ""}

_log = structlog.get_logger("mongodb")


class MongoTasks:
    """The changes of `services.core.ports.TaskStore`; `MongoTaskListings` answers its questions.

    A call that names tasks of several jobs changes each job in a transaction of its own.
    """

    _has_looked = False  # for tasks that run under no claim

    def __init__(self, database: Database) -> None:
        """Keep tasks in this database."""
        self._database = database

    def claim_tasks(
        self, keys: Sequence[TaskKey], attempt_id: str, lease_until: datetime, now: datetime
    ) -> tuple[TaskKey, ...]:
        """See the port."""
        claimed = {"state": TaskState.RUNNING.value, "attempt_id": attempt_id, "started_at": now}

        def claim(of_job: Sequence[TaskKey]) -> _Decision:
            def decide(transaction: Transaction, blocks: JobBlocks, revision: int) -> dict[TaskKey, Document]:
                # Tasks of ended jobs need no look of their own: ending a job leaves none of them free.
                changes = {
                    key: {**claimed, "attempts": record["attempts"] + 1}
                    for key, record in blocks.tasks(of_job).items()
                    if _is_pending(record)
                }
                if changes:
                    write_claim(transaction, of_job[0].job_id, attempt_id, changes, lease_until)
                return changes

            return decide

        return self._change_named(keys, claim, now)

    def renew_lease(self, attempt_id: str, lease_until: datetime) -> int:
        """See the port."""
        of_attempt = {"attempt_id": attempt_id}

        # In a transaction, though a single statement: it does not wait for one that a dead process left open.
        def renew(transaction: Transaction) -> int:
            claims, session = transaction.collections.claims, transaction.session
            if not claims.update_many(
                of_attempt, {"$set": {"lease_until": lease_until}}, session=session
            ).matched_count:
                transaction.undo()
                return 0
            return len(leases_of(transaction.collections, of_attempt, session))

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
        with self._database.calls() as collections:
            held = leases_of(collections, {"attempt_id": attempt_id})

        def release(of_job: Sequence[TaskKey]) -> _Decision:
            def decide(transaction: Transaction, blocks: JobBlocks, revision: int) -> dict[TaskKey, Document]:
                running = _run_under(blocks, dict.fromkeys(of_job, attempt_id))
                return {key: {**_RELEASED} for key in running}

            return decide

        return self._change_named(sorted(TaskKey.parse(hold.task_id) for hold in held), release, now)

    def fail_tasks(self, keys: Sequence[TaskKey], error: str, now: datetime) -> tuple[TaskKey, ...]:
        """See the port."""

        def fail(of_job: Sequence[TaskKey]) -> _Decision:
            def decide(transaction: Transaction, blocks: JobBlocks, revision: int) -> dict[TaskKey, Document]:
                leases = leases_of(transaction.collections, {"job_id": of_job[0].job_id}, transaction.session)
                free = [
                    key
                    for key, record in blocks.tasks(of_job).items()
                    if _is_pending(record)
                    or (_is_running(record) and leases.get(_hold(key, record), _NEVER) < now)
                ]
                return {key: _to_error(error, now) for key in free}

            return decide

        return self._change_named(keys, fail, now)

    def expire_leases(self, now: datetime, max_losses: int | None = None) -> tuple[str, ...]:
        """See the port.

        At first it looks at every RUNNING job, for tasks that run though no claim says so: of a dump that was
        no snapshot, say. Nothing else would ever set them back.
        """
        ended: Document = {"lease_until": {"$not": {"$gte": now}}}  # a damaged one has ended, too
        # Asked first: there is nothing almost every time, and then nobody has to wait for a turn.
        with self._database.calls() as collections:
            claims = list(collections.claims.find(ended, {"job_id": True, "tasks": True}))
            if claims:
                # Left behind by who finished all of theirs.
                collections.claims.delete_many({**ended, "tasks": []})
            jobs = {claim["job_id"] for claim in claims if claim.get("tasks") != []}
            if not self._has_looked:
                running = collections.jobs.find({"state": JobState.RUNNING.value}, {"_id": True})
                jobs.update(job["_id"] for job in running)
        expired = [job_id for job_id in sorted(jobs) if self._expire(job_id, ended, max_losses, now)]
        self._has_looked = True
        return tuple(expired)

    def _expire(self, job_id: str, ended: Document, max_losses: int | None, now: datetime) -> bool:
        def expire(transaction: Transaction) -> bool:
            collections, session = transaction.collections, transaction.session
            revision = transaction.next_revision(job_id)
            # Read again: a lease may have been renewed meanwhile.
            removed = collections.claims.delete_many({"job_id": job_id, **ended}, session=session)
            if revision is None:
                return False
            held = leases_of(collections, {"job_id": job_id}, session)
            blocks = JobBlocks(transaction, job_id)
            lost = {
                key: record
                for key, record in blocks.every_task().items()
                if _is_running(record) and _hold(key, record) not in held
            }
            for key, record in lost.items():
                blocks.change(key, _lost(record, max_losses, revision, now))
            if not lost and not removed.deleted_count:
                transaction.undo()
            align(transaction, blocks, lost, now)
            blocks.write(revision)
            return bool(lost)

        try:
            return self._database.change(job_id, expire)
        except DataLoss as error:
            # One job that cannot be read must not keep all others from theirs.
            _log.error("tasks of a job not handed back", job_id=job_id, error=str(error))
            return False

    def _change_named(
        self, keys: Sequence[TaskKey], decision: Callable[[Sequence[TaskKey]], _Decision], now: datetime
    ) -> tuple[TaskKey, ...]:
        """Change tasks by what is decided for those of each job; return those changed, in the order given."""
        changed: set[TaskKey] = set()
        for job_id, of_job in _by_job(keys).items():
            changed.update(self._change(job_id, decision(of_job), now))
        return tuple(key for key in dict.fromkeys(keys) if key in changed)

    def _change(self, job_id: str, decide: _Decision, now: datetime) -> tuple[TaskKey, ...]:
        def change(transaction: Transaction) -> tuple[TaskKey, ...]:
            revision = transaction.next_revision(job_id)
            blocks = JobBlocks(transaction, job_id)
            changes = {} if revision is None else decide(transaction, blocks, revision)
            if revision is None or not changes:
                transaction.undo()
                return ()
            for key, fields in changes.items():
                blocks.change(key, fields)
            align(transaction, blocks, changes, now)
            blocks.write(revision)
            return tuple(changes)

        return self._database.change(job_id, change)

    def _finish(
        self, job_id: str, attempt_id: str, by_key: Mapping[TaskKey, TaskOutcome], now: datetime
    ) -> tuple[TaskKey, ...]:
        encoded = {key: o.model.to_bytes() for key, o in by_key.items() if o.model is not None}
        large = {key: data for key, data in encoded.items() if not is_packed(data)}
        chunked: Mapping[TaskKey, Document] = {}
        writing = ""
        if large:
            with self._database.calls() as collections:
                writing, chunked = write_chunks(collections, large)

        def decide(transaction: Transaction, blocks: JobBlocks, revision: int) -> dict[TaskKey, Document]:
            held = _run_under(blocks, dict.fromkeys(by_key, attempt_id))
            if not held:
                return {}
            packed = {key: encoded[key] for key in held if key in encoded and key not in large}
            models = {**chunked, **write_pack(transaction, job_id, packed)}
            # What attempts left that died while they wrote: almost always there were none.
            remove_chunks(
                transaction, [key for key, record in held.items() if record["attempts"] > 1], but=writing
            )
            return {key: _end(by_key[key], now, models.get(key)) for key in held}

        # When this fails, whether it was committed may be unknown. What was written stays then: if no task
        # names it, a later attempt, a retry or the end of the job removes it.
        held = self._change(job_id, decide, now)
        lost = [key for key in large if key not in set(held)]
        if lost:
            with self._database.calls() as collections:
                remove_writing(collections, lost, writing)
        return held


def _is_pending(record: Document) -> bool:
    return not record["n_parts"] and record["state"] == TaskState.PENDING.value


def _is_running(record: Document) -> bool:
    # A task in parts is RUNNING, too, without an attempt or a lease of its own.
    return not record["n_parts"] and record["state"] == TaskState.RUNNING.value


def _run_under(blocks: JobBlocks, attempts: Mapping[TaskKey, str]) -> dict[TaskKey, Document]:
    """Those of the tasks that run under the attempt given for each."""
    return {
        key: record
        for key, record in blocks.tasks(attempts).items()
        if _is_running(record) and record["attempt_id"] == attempts[key]
    }


def _lost(record: Document, max_losses: int | None, revision: int, now: datetime) -> Document:
    if max_losses is not None and record["losses"] >= max_losses:
        return _to_error(lost_too_often(max_losses + 1), now)
    return {**_RELEASED, "losses": record["losses"] + 1, "waiting_from": revision}


def _hold(key: TaskKey, record: Document) -> Hold:
    return Hold(record["attempt_id"], key.id)


def _to_error(error: str, now: datetime) -> Document:
    return {
        "state": TaskState.ERROR.value,
        "attempt_id": "",
        "ended_at": now,
        "error": error[:_ERROR_CHARS],
    }


def _end(outcome: TaskOutcome, now: datetime, model: Document | None) -> Document:
    result = outcome.result
    return {
        "state": outcome.state.value,
        "ended_at": now,
        "seconds": outcome.seconds,
        "result": None if result is None else result_document(result),
        "error": outcome.error[:_ERROR_CHARS],
        "model": model,
    }


def _by_job(keys: Iterable[TaskKey]) -> dict[str, list[TaskKey]]:
    by_job: dict[str, list[TaskKey]] = {}
    for key in dict.fromkeys(keys):
        by_job.setdefault(key.job_id, []).append(key)
    return by_job
