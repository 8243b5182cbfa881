"""Task records in SQLite: exactly-once bookkeeping by attempt."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.backends.sqlite.database import Database, Row, Transaction
from services.backends.sqlite.parts import align
from services.backends.sqlite.records import (
    KEY_COLUMNS,
    RUNNABLE,
    key_row,
    read_key_row,
    result_text,
    to_micros,
)
from services.backends.sqlite.task_rows import KEY_IS, bic_column, change, matching
from services.core.tasks import TaskKey, TaskOutcome, lost_too_often

__all__ = ["SqliteTasks"]

_PENDING = f"{RUNNABLE} AND state = 'pending'"
_FREE = f"{RUNNABLE} AND (state = 'pending' OR state = 'running' AND lease_until < ?)"
_RELEASED = "state = 'pending', attempt_id = '', lease_until = NULL"
_TO_PENDING = f"{_RELEASED}, published_at = NULL"
_TO_ERROR = "state = 'error', attempt_id = '', lease_until = NULL, ended_at = ?, error = ?"


class SqliteTasks:
    """The changes of `services.core.ports.TaskStore`; `SqliteTaskListings` answers its questions."""

    def __init__(self, database: Database) -> None:
        """Keep tasks in this database."""
        self._database = database

    def mark_published(self, keys: Sequence[TaskKey], now: datetime) -> None:
        """See the port."""
        with self._database.write() as transaction:
            unfinished = matching(transaction, keys, f"{RUNNABLE} AND state IN ('pending', 'running')", ())
            transaction.execute_many(
                f"UPDATE tasks SET published_at = ? WHERE {KEY_IS}",
                [(to_micros(now), *key_row(key)) for key in unfinished],
            )

    def claim_tasks(
        self, keys: Sequence[TaskKey], attempt_id: str, lease_until: datetime, now: datetime
    ) -> tuple[TaskKey, ...]:
        """See the port."""
        # Tasks of ended jobs need no look of their own: ending a job leaves none of them free.
        with self._database.write() as transaction:
            free = matching(transaction, keys, _PENDING, ())
            change(
                transaction,
                free,
                "state = 'running', attempts = attempts + 1, attempt_id = ?, lease_until = ?, started_at = ?",
                (attempt_id, to_micros(lease_until), to_micros(now)),
            )
            align(transaction, free, now)
            return free

    def renew_lease(self, attempt_id: str, lease_until: datetime) -> int:
        """See the port."""
        with self._database.write() as transaction:
            held = _running(transaction, "attempt_id = ?", (attempt_id,))
            transaction.execute_many(
                f"UPDATE tasks SET lease_until = ? WHERE {KEY_IS}",
                [(to_micros(lease_until), *key_row(key)) for key in held],
            )
            return len(held)

    def finish_tasks(
        self, attempt_id: str, outcomes: Sequence[TaskOutcome], now: datetime
    ) -> tuple[TaskKey, ...]:
        """See the port."""
        by_key = {outcome.key: outcome for outcome in outcomes}
        with self._database.write() as transaction:
            held = matching(transaction, by_key, "state = 'running' AND attempt_id = ?", (attempt_id,))
            for key in held:
                _finish(transaction, by_key[key], now)
            align(transaction, held, now)
            return held

    def release_tasks(self, attempt_id: str, now: datetime) -> tuple[TaskKey, ...]:
        """See the port."""
        with self._database.write() as transaction:
            held = _running(transaction, "attempt_id = ?", (attempt_id,))
            change(transaction, held, _RELEASED, ())
            align(transaction, held, now)
            return held

    def fail_tasks(self, keys: Sequence[TaskKey], error: str, now: datetime) -> tuple[TaskKey, ...]:
        """See the port."""
        with self._database.write() as transaction:
            free = matching(transaction, keys, _FREE, (to_micros(now),))
            change(
                transaction,
                free,
                _TO_ERROR,
                (to_micros(now), error),
            )
            align(transaction, free, now)
            return free

    def expire_leases(self, now: datetime, max_losses: int | None = None) -> tuple[str, ...]:
        """See the port."""
        # Asked by a reader first: the sweep finds nothing almost every time, and then nobody waits.
        with self._database.read() as transaction:
            if not _running(transaction, "lease_until < ?", (to_micros(now),)):
                return ()
        with self._database.write() as transaction:
            lost = _running(transaction, "lease_until < ?", (to_micros(now),))
            if max_losses is not None:
                given_up = _running(
                    transaction, "lease_until < ? AND losses >= ?", (to_micros(now), max_losses)
                )
                change(transaction, given_up, _TO_ERROR, (to_micros(now), lost_too_often(max_losses + 1)))
            back = _running(transaction, "lease_until < ?", (to_micros(now),))
            change(transaction, back, f"{_TO_PENDING}, losses = losses + 1", ())
            align(transaction, lost, now)
            return tuple(dict.fromkeys(key.job_id for key in lost))


def _running(transaction: Transaction, condition: str, parameters: Row) -> tuple[TaskKey, ...]:
    rows = transaction.all(
        f"SELECT {KEY_COLUMNS} FROM tasks WHERE {RUNNABLE} AND state = 'running' AND {condition} "
        f"ORDER BY {KEY_COLUMNS}",
        parameters,
    )
    return tuple(map(read_key_row, rows))


def _finish(transaction: Transaction, outcome: TaskOutcome, now: datetime) -> None:
    key, model = outcome.key, outcome.model
    change(
        transaction,
        [key],
        "state = ?, lease_until = NULL, ended_at = ?, seconds = ?, bic = ?, result = ?, error = ?",
        (
            outcome.state.value,
            to_micros(now),
            outcome.seconds,
            bic_column(outcome.result),
            result_text(outcome.result),
            outcome.error,
        ),
    )
    # Nothing to replace: a task loses its model when it is set back to PENDING.
    if model is not None:
        transaction.execute(
            f"INSERT INTO models ({KEY_COLUMNS}, bytes) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*key_row(key), model.to_bytes()),
        )
