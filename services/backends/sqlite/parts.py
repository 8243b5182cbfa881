"""Parts of tasks in SQLite: each task as its parts make it, in the transaction that changes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from services.backends.sqlite.database import Transaction
from services.backends.sqlite.records import (
    TASK_COLUMNS,
    key_row,
    micros_or_none,
    read_task_row,
    result_text,
    to_micros,
)
from services.backends.sqlite.task_rows import KEY_IS, bic_column, change
from services.core.parts import best_part, task_of_parts
from services.core.tasks import Task, TaskKey, TaskState

__all__ = ["PARTS_OF", "align", "whole_row"]

# The parameters are those of `whole_row`.
PARTS_OF = "(job_id, experiment, k, covariance) = (?, ?, ?, ?) AND n_starts > 0"


def whole_row(key: TaskKey) -> tuple[str, int, int, str]:
    """What `PARTS_OF` asks for."""
    return (key.job_id, key.experiment, key.k, key.covariance.value)


def align(transaction: Transaction, changed: Iterable[TaskKey], now: datetime) -> None:
    """Bring the tasks of which these are parts in line with all of their parts."""
    for key in dict.fromkeys(part.whole for part in changed if part.is_part):
        row = transaction.one(f"SELECT {TASK_COLUMNS} FROM tasks WHERE {KEY_IS}", key_row(key))
        if row is None:
            continue
        rows = transaction.all(f"SELECT {TASK_COLUMNS} FROM tasks WHERE {PARTS_OF}", whole_row(key))
        parts = tuple(map(read_task_row, rows))
        task = read_task_row(row)
        aligned = task_of_parts(task, parts, now)
        if aligned != task:
            _write(transaction, aligned)
            if aligned.state.is_terminal:
                _end_parts(transaction, aligned, parts, now)


def _write(transaction: Transaction, task: Task) -> None:
    change(
        transaction,
        [task.key],
        "state = ?, attempts = ?, started_at = ?, ended_at = ?, seconds = ?, bic = ?, result = ?, error = ?",
        (
            task.state.value,
            task.attempts,
            micros_or_none(task.started_at),
            micros_or_none(task.ended_at),
            task.seconds,
            bic_column(task.result),
            result_text(task.result),
            task.error,
        ),
    )


def _end_parts(transaction: Transaction, task: Task, parts: Sequence[Task], now: datetime) -> None:
    if task.state is not TaskState.ERROR:
        transaction.execute(
            f"UPDATE models SET first_start = ?, n_starts = ? WHERE {KEY_IS}",
            (task.key.part.first_start, task.key.part.n_starts, *key_row(best_part(parts).key)),
        )
    transaction.execute(f"DELETE FROM models WHERE {PARTS_OF}", whole_row(task.key))
    change(
        transaction,
        [part.key for part in parts if not part.state.is_terminal],
        "state = ?, ended_at = ?, attempt_id = '', lease_until = NULL",
        (TaskState.CANCELLED.value, to_micros(now)),
    )
