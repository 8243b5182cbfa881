"""Parts of tasks in MongoDB: each task as its parts make it, in the transaction that changes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from services.backends.documents import Document, result_document
from services.backends.mongodb.database import Transaction
from services.backends.mongodb.models import move_model, remove_models
from services.backends.mongodb.records import PARTS, read_task_record
from services.backends.sqlite.task_rows import bic_column
from services.core.parts import best_part, task_of_parts
from services.core.tasks import Task, TaskKey, TaskState

__all__ = ["align", "remove_part_models"]


def align(transaction: Transaction, changed: Iterable[TaskKey], revision: int, now: datetime) -> None:
    """Bring the tasks of which these are parts in line with all of their parts; all of one job."""
    tasks, session = transaction.collections.tasks, transaction.session
    for key in dict.fromkeys(part.whole for part in changed if part.is_part):
        record = tasks.find_one({"_id": key.id}, session=session)
        if record is None:
            continue
        parts = {
            read_task_record(found): found["model"]
            for found in tasks.find(
                {
                    "job_id": key.job_id,
                    "experiment": key.experiment,
                    "k": key.k,
                    "covariance": key.covariance.value,
                    **PARTS,
                },
                session=session,
            )
        }
        task = read_task_record(record)
        aligned = task_of_parts(task, tuple(parts), now)
        if aligned == task:
            continue
        fields = {**_fields(aligned), "revision": revision}
        if aligned.state.is_terminal:
            fields["model"] = _end_parts(transaction, aligned, parts, revision, now)
        tasks.update_one({"_id": key.id}, {"$set": fields}, session=session)


def remove_part_models(transaction: Transaction, job_id: str) -> None:
    """Remove what parts have found whose tasks will not have it: those of a job that was stopped."""
    holding = {"job_id": job_id, **PARTS, "model": {"$ne": None}}
    tasks, session = transaction.collections.tasks, transaction.session
    keys = [read_task_record(record).key for record in tasks.find(holding, session=session)]
    tasks.update_many({"_id": {"$in": [key.id for key in keys]}}, {"$set": {"model": None}}, session=session)
    remove_models(transaction, keys)


def _fields(task: Task) -> Document:
    return {
        "state": task.state.value,
        "attempts": task.attempts,
        "started_at": task.started_at,
        "ended_at": task.ended_at,
        "seconds": task.seconds,
        "bic": bic_column(task.result),
        "result": None if task.result is None else result_document(task.result),
        "error": task.error,
    }


def _end_parts(
    transaction: Transaction,
    task: Task,
    parts: Mapping[Task, Mapping[str, Any] | None],
    revision: int,
    now: datetime,
) -> Mapping[str, Any] | None:
    """Leave nothing to run or to keep of the parts of a task that has ended; return the task's model."""
    tasks, session = transaction.collections.tasks, transaction.session
    model = None
    if task.state is not TaskState.ERROR:
        best = best_part(tuple(parts))
        model = parts[best]
        if model is not None:
            move_model(transaction, best.key, model)
    remove_models(transaction, [part.key for part in parts])
    tasks.update_many(_named(parts), {"$set": {"model": None}}, session=session)
    tasks.update_many(
        _named(part for part in parts if not part.state.is_terminal),
        {
            "$set": {
                "state": TaskState.CANCELLED.value,
                "ended_at": now,
                "attempt_id": "",
                "lease_until": None,
                "revision": revision,
            }
        },
        session=session,
    )
    return model


def _named(parts: Iterable[Task]) -> Document:
    return {"_id": {"$in": [part.key.id for part in parts]}}
