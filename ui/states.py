"""States of jobs and tasks: their words, icons and colours."""

from __future__ import annotations

from typing import Final, Literal

from kmeans.v1 import job_pb2, task_pb2

from kmeans_client import state_name

__all__ = [
    "TASK_STATES",
    "BadgeColor",
    "ended_count",
    "job_badge",
    "progress_share",
    "state_counts",
    "task_state",
]

BadgeColor = Literal["gray", "blue", "green", "red", "orange"]

_JOBS: Final[dict[str, tuple[str, str, BadgeColor]]] = {
    "pending": ("Waiting", ":material/schedule:", "gray"),
    "running": ("Running", ":material/sync:", "blue"),
    "succeeded": ("Done", ":material/check_circle:", "green"),
    "failed": ("Failed", ":material/error:", "red"),
    "cancelled": ("Cancelled", ":material/block:", "orange"),
}

TASK_STATES: Final = ("done", "degenerate", "error", "cancelled", "running", "pending")
"""Task states in the order in which they are shown; what is left to run comes last."""


def job_badge(job: job_pb2.Job) -> tuple[str, str, BadgeColor]:
    """Word, icon and colour of a job's state."""
    return _JOBS.get(state_name(job), ("Unknown", ":material/help:", "gray"))


def task_state(task: task_pb2.Task) -> str:
    """`done`, `degenerate`, `error`, `cancelled`, `running` or `pending`."""
    return state_name(task)


def state_counts(counts: job_pb2.TaskCounts) -> dict[str, int]:
    """How many tasks are in each state, in the order of TASK_STATES."""
    return {state: int(getattr(counts, state)) for state in TASK_STATES}


def ended_count(counts: job_pb2.TaskCounts) -> int:
    """Tasks that need no further work."""
    return counts.done + counts.degenerate + counts.error + counts.cancelled


def progress_share(counts: job_pb2.TaskCounts) -> float:
    """Share of the tasks that have ended, 0 to 1; 0 while they are not planned."""
    return ended_count(counts) / counts.total if counts.total else 0.0
