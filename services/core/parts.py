"""Parts: what a task is when its parts are as they are. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from services.core.tasks import Task, TaskKey, TaskState

__all__ = ["best_part", "task_of_parts", "with_parts_counted"]


def best_part(parts: Sequence[Task]) -> Task:
    """The part whose result is that of the task; every part has one.

    As the kernel chooses among starts: a sound one before a degenerate one, then the highest
    log-likelihood, then the lowest start. The best of all parts is then the best of all starts.
    """
    return min(parts, key=_rank)


def task_of_parts(task: Task, parts: Sequence[Task], now: datetime) -> Task:
    """The task as all of its parts make it; its revision is left to the store.

    PENDING until a part is claimed, and again when all claims were lost before any part ended; RUNNING
    from then on; DONE or DEGENERATE like its best part when the last part has ended; ERROR as soon as one
    part is, whose other parts have nothing left to run for. A task that has ended stays as it is: a
    cancelled one, say.
    """
    if task.state.is_terminal or not parts:
        return task
    attempts = max(part.attempts for part in parts)
    seconds = sum(part.seconds for part in parts)
    failed = [part for part in parts if part.state is TaskState.ERROR]
    if failed:
        first = min(failed, key=lambda part: part.key)
        return replace(
            task,
            state=TaskState.ERROR,
            attempts=attempts,
            ended_at=now,
            seconds=seconds,
            error=first.error,
        )
    if all(part.result is not None for part in parts):
        best = best_part(parts)
        return replace(
            task,
            state=best.state,
            attempts=attempts,
            ended_at=now,
            seconds=seconds,
            result=best.result,
        )
    if all(part.state is TaskState.PENDING for part in parts):
        return replace(task, state=TaskState.PENDING, attempts=attempts)
    started_at = now if task.state is TaskState.PENDING else task.started_at
    return replace(task, state=TaskState.RUNNING, attempts=attempts, started_at=started_at)


def with_parts_counted(keys: Iterable[TaskKey]) -> dict[TaskKey, int]:
    """Every key once, and every task of which there is a part; each with how many of its parts are there."""
    counted: dict[TaskKey, int] = {}
    for key in dict.fromkeys(keys):
        counted.setdefault(key, 0)
        if key.is_part:
            counted[key.whole] = counted.get(key.whole, 0) + 1
    return counted


def _rank(part: Task) -> tuple[bool, float, int]:
    if part.result is None:
        raise ValueError(f"Part {part.key.short_id} has no result yet.")
    return (part.state is not TaskState.DONE, -part.result.log_likelihood, part.result.start)
