"""Parts of tasks in MongoDB: each task as its parts make it, in the transaction that changes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from services.backends.documents import Document, result_document
from services.backends.mongodb.blocks import JobBlocks
from services.backends.mongodb.database import Transaction
from services.backends.mongodb.models import move_model, remove_models
from services.backends.mongodb.records import block_tasks, read_task
from services.core.parts import best_part, task_of_parts
from services.core.tasks import Task, TaskKey, TaskState

__all__ = ["align", "remove_part_models"]


def align(transaction: Transaction, blocks: JobBlocks, changed: Iterable[TaskKey], now: datetime) -> None:
    """Bring the tasks of which these are parts in line with all of their parts."""
    for key in dict.fromkeys(part.whole for part in changed if part.is_part):
        record = blocks.tasks([key]).get(key)
        if record is None:
            continue
        parts = {read_task(found): found["model"] for found in blocks.parts(key).values()}
        task = read_task(record)
        aligned = task_of_parts(task, tuple(parts), now)
        if aligned == task:
            continue
        fields = _fields(aligned)
        if aligned.state.is_terminal:
            fields["model"] = _end_parts(transaction, blocks, aligned, parts, now)
        blocks.change(key, fields)


def remove_part_models(transaction: Transaction, job_id: str) -> None:
    """Remove what parts have found whose tasks will not have it: those of a job that was stopped."""
    blocks, session = transaction.collections.blocks, transaction.session
    of_parts = {"job_id": job_id, "of_parts": True}
    models = {
        TaskKey.parse(record["id"]): record["model"]
        for block in blocks.find(of_parts, session=session)
        for record in block_tasks(block)
        if record["model"] is not None
    }
    if models:
        blocks.update_many(of_parts, {"$set": {"tasks.$[].model": None}}, session=session)
        remove_models(transaction, models)


def _fields(task: Task) -> Document:
    return {
        "state": task.state.value,
        "attempts": task.attempts,
        "started_at": task.started_at,
        "ended_at": task.ended_at,
        "seconds": task.seconds,
        "result": None if task.result is None else result_document(task.result),
        "error": task.error,
    }


def _end_parts(
    transaction: Transaction,
    blocks: JobBlocks,
    task: Task,
    parts: Mapping[Task, Mapping[str, Any] | None],
    now: datetime,
) -> Mapping[str, Any] | None:
    """Leave nothing to run or to keep of the parts of a task that has ended; return the task's model."""
    model = None
    models = {part.key: named for part, named in parts.items()}
    if task.state is not TaskState.ERROR:
        best = best_part(tuple(parts)).key
        model = models.pop(best)
        if model is not None:
            move_model(transaction, best, model)
    remove_models(transaction, models)
    for part in parts:
        fields: Document = {"model": None}
        if not part.state.is_terminal:
            fields |= {"state": TaskState.CANCELLED.value, "ended_at": now, "attempt_id": ""}
        blocks.change(part.key, fields)
    return model
