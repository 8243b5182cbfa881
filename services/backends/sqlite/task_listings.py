"""Questions about tasks in SQLite: single records, listings, counts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.backends.missing import task_not_found
from services.backends.sort_keys import read_sort_key
from services.backends.sqlite.database import Database
from services.backends.sqlite.jobs import fetch_job
from services.backends.sqlite.records import (
    KEY_COLUMNS,
    RUNNABLE,
    TASK_COLUMNS,
    WHOLES,
    key_row,
    read_key_row,
    read_task_row,
    to_micros,
)
from services.backends.sqlite.task_rows import KEY_IS, bic_column, counts
from services.core.errors import NotFound
from services.core.models import FittedModel
from services.core.pages import Page, PageRequest
from services.core.tasks import Task, TaskCounts, TaskFilter, TaskKey, TaskOrder

__all__ = ["SqliteTaskListings"]

_BY_KEY = "experiment, k, covariance"
_BY_BIC = f"bic IS NULL, bic DESC, {_BY_KEY}"


class SqliteTaskListings:
    """The questions of `services.core.ports.TaskStore`."""

    def __init__(self, database: Database) -> None:
        """Read tasks from this database."""
        self._database = database

    def get_task(self, key: TaskKey) -> Task:
        """See the port."""
        with self._database.read() as transaction:
            row = transaction.one(f"SELECT {TASK_COLUMNS} FROM tasks WHERE {KEY_IS}", key_row(key))
        if row is None:
            raise task_not_found(key)
        return read_task_row(row)

    def get_model(self, key: TaskKey) -> FittedModel:
        """See the port."""
        with self._database.read() as transaction:
            if transaction.one(f"SELECT 1 FROM tasks WHERE {KEY_IS}", key_row(key)) is None:
                raise task_not_found(key)
            row = transaction.one(f"SELECT bytes FROM models WHERE {KEY_IS}", key_row(key))
        if row is None:
            raise NotFound(
                f"Task {key.short_id} of job {key.job_id} has no model.",
                "MODEL_NOT_FOUND",
                {"task": f"jobs/{key.job_id}/tasks/{key.short_id}"},
            )
        return FittedModel.from_bytes(row[0])

    def list_tasks(
        self, job_id: str, task_filter: TaskFilter, order: TaskOrder, page: PageRequest
    ) -> Page[Task]:
        """See the port. Tasks without a score, or with NaN for one, come last by BIC."""
        by_bic = order is TaskOrder.BIC_DESCENDING
        conditions, parameters = _conditions(task_filter)
        if by_bic:
            position, values = _after_bic(page)
        else:
            values = read_sort_key(page, int, int, str) or ()
            position = f"({_BY_KEY}) > (?, ?, ?)" if values else "TRUE"
        with self._database.read() as transaction:
            fetch_job(transaction, job_id)
            rows = transaction.all(
                f"SELECT {TASK_COLUMNS} FROM tasks WHERE {WHOLES} AND job_id = ? AND {conditions} "
                f"AND {position} ORDER BY {_BY_BIC if by_bic else _BY_KEY} LIMIT ?",
                (job_id, *parameters, *values, page.size + 1),
            )
        items = tuple(map(read_task_row, rows[: page.size]))
        if len(rows) <= page.size:
            return Page(items)
        return Page(items, page.token_after(_sort_key(items[-1], by_bic)))

    def all_tasks(self, job_id: str) -> tuple[Task, ...]:
        """See the port."""
        with self._database.read() as transaction:
            rows = transaction.all(
                f"SELECT {TASK_COLUMNS} FROM tasks WHERE {WHOLES} AND job_id = ? ORDER BY {_BY_KEY}",
                (job_id,),
            )
        return tuple(map(read_task_row, rows))

    def count_tasks(self, job_id: str) -> TaskCounts:
        """See the port."""
        with self._database.read() as transaction:
            return counts(transaction, job_id)

    def count_outstanding(self, job_id: str, published_since: datetime) -> int:
        """See the port."""
        with self._database.read() as transaction:
            row = transaction.one(
                f"SELECT count(*) FROM tasks WHERE {RUNNABLE} AND job_id = ? "
                "AND (state = 'running' OR state = 'pending' AND published_at >= ?)",
                (job_id, to_micros(published_since)),
            )
        return 0 if row is None else int(row[0])

    def unpublished_tasks(self, job_id: str, published_before: datetime, limit: int) -> tuple[TaskKey, ...]:
        """See the port."""
        with self._database.read() as transaction:
            rows = transaction.all(
                f"SELECT {KEY_COLUMNS} FROM tasks WHERE {RUNNABLE} AND job_id = ? AND state = 'pending' "
                f"AND (published_at IS NULL OR published_at < ?) ORDER BY {_BY_KEY}, first_start LIMIT ?",
                (job_id, to_micros(published_before), limit),
            )
        return tuple(map(read_key_row, rows))

    def suspect_tasks(self, job_id: str) -> tuple[TaskKey, ...]:
        """See the port."""
        with self._database.read() as transaction:
            rows = transaction.all(
                f"SELECT {KEY_COLUMNS} FROM tasks WHERE {RUNNABLE} AND job_id = ? AND state = 'pending' "
                f"AND losses > 0 ORDER BY {_BY_KEY}, first_start",
                (job_id,),
            )
        return tuple(map(read_key_row, rows))


def _conditions(task_filter: TaskFilter) -> tuple[str, list[str | int]]:
    conditions, parameters = ["TRUE"], list[str | int]()
    if task_filter.states is not None:
        conditions.append(f"state IN ({', '.join('?' * len(task_filter.states))})")
        parameters.extend(state.value for state in task_filter.states)
    if task_filter.covariances is not None:
        conditions.append(f"covariance IN ({', '.join('?' * len(task_filter.covariances))})")
        parameters.extend(covariance.value for covariance in task_filter.covariances)
    if task_filter.k is not None:
        conditions.append("k = ?")
        parameters.append(task_filter.k)
    if task_filter.experiment is not None:
        conditions.append("experiment = ?")
        parameters.append(task_filter.experiment)
    return " AND ".join(conditions), parameters


def _sort_key(task: Task, by_bic: bool) -> tuple[str | int | float, ...]:
    key = (task.key.experiment, task.key.k, task.key.covariance.value)
    if not by_bic:
        return key
    bic = bic_column(task.result)
    return (1, 0.0, *key) if bic is None else (0, bic, *key)


def _after_bic(page: PageRequest) -> tuple[str, tuple[Any, ...]]:
    after = read_sort_key(page, int, float, int, int, str)
    if after is None:
        return "TRUE", ()
    unscored, bic, *key = after
    if unscored:
        return f"bic IS NULL AND ({_BY_KEY}) > (?, ?, ?)", tuple(key)
    return (
        f"(bic IS NULL OR bic < ? OR bic = ? AND ({_BY_KEY}) > (?, ?, ?))",
        (bic, bic, *key),
    )
