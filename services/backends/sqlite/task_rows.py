"""What jobs and tasks both need of the task table, inside a transaction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from services.backends.sqlite.database import Row, Transaction
from services.backends.sqlite.records import KEY_COLUMNS, WHOLES, key_row
from services.core.tasks import TaskCounts, TaskKey, TaskResult, TaskState

__all__ = ["KEY_IS", "bic_column", "change", "counts", "matching"]

KEY_IS = f"({KEY_COLUMNS}) = (?, ?, ?, ?, ?, ?)"


def counts(transaction: Transaction, job_id: str) -> TaskCounts:
    """Counts by state, of whole tasks."""
    rows = transaction.all(
        f"SELECT state, count(*) FROM tasks WHERE {WHOLES} AND job_id = ? GROUP BY state", (job_id,)
    )
    return TaskCounts({TaskState(state): count for state, count in rows})


def matching(
    transaction: Transaction, keys: Iterable[TaskKey], condition: str, parameters: Row
) -> tuple[TaskKey, ...]:
    """Those of the tasks for which the condition holds, once each, in the order given."""
    sql = f"SELECT 1 FROM tasks WHERE {KEY_IS} AND {condition}"
    return tuple(
        key for key in dict.fromkeys(keys) if transaction.one(sql, (*key_row(key), *parameters)) is not None
    )


def change(transaction: Transaction, keys: Sequence[TaskKey], assignments: str, parameters: Row) -> None:
    """Set columns of these tasks and stamp them with their job's next revision."""
    transaction.execute_many(
        f"UPDATE tasks SET revision = ?, {assignments} WHERE {KEY_IS}",
        [(transaction.next_revision(key.job_id), *parameters, *key_row(key)) for key in keys],
    )


def bic_column(result: TaskResult | None) -> float | None:
    """What listings order by: NULL, which comes last, without a score or where it is NaN."""
    return None if result is None or math.isnan(result.bic) else result.bic
