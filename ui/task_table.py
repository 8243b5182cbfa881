"""The tasks of a job as a table: one row each, to filter, sort and download."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import pandas as pd
from kmeans.v1 import task_pb2

from kmeans_client import covariance_name
from ui.states import task_state

__all__ = ["COLUMNS", "TaskFilter", "filter_tasks", "reason", "task_frame", "to_csv"]

COLUMNS = (
    "task",
    "k",
    "covariance",
    "experiment",
    "state",
    "bic",
    "aic",
    "log_likelihood",
    "smallest_cluster",
    "seconds",
    "iterations",
    "converged",
    "regularized",
    "attempts",
    "reason",
)
"""Columns of the table and of its download, in this order."""


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks to show; an empty collection means any."""

    states: Collection[str] = field(default=())
    covariances: Collection[str] = field(default=())
    k_range: tuple[int, int] | None = None
    experiments: Collection[int] = field(default=())


def task_frame(tasks: Iterable[task_pb2.Task]) -> pd.DataFrame:
    """One row per task, by experiment, K and covariance; scores are missing until there are some."""
    ordered = sorted(tasks, key=lambda task: (task.experiment, task.k, task.covariance))
    frame = pd.DataFrame([_row(task) for task in ordered], columns=list(COLUMNS))
    whole = ["k", "experiment", "smallest_cluster", "iterations", "attempts"]
    real = ["bic", "aic", "log_likelihood", "seconds"]
    return frame.astype(
        {
            **dict.fromkeys(whole, "Int64"),
            **dict.fromkeys(real, "Float64"),
            "converged": "boolean",
            "regularized": "boolean",
        }
    )


def filter_tasks(frame: pd.DataFrame, wanted: TaskFilter) -> pd.DataFrame:
    """The rows that match every part of the filter."""
    keep = pd.Series(True, index=frame.index)
    for column, values in (
        ("state", wanted.states),
        ("covariance", wanted.covariances),
        ("experiment", wanted.experiments),
    ):
        if values:
            keep &= frame[column].isin(list(values))
    if wanted.k_range is not None:
        keep &= frame["k"].between(*wanted.k_range)
    return frame[keep]


def to_csv(frame: pd.DataFrame) -> bytes:
    """The table as a CSV file, UTF-8, numbers with every digit."""
    return frame.to_csv(index=False).encode()


def reason(task: task_pb2.Task) -> str:
    """Why it failed or is degenerate; else empty."""
    return task.error or task.result.diagnosis


def _row(task: task_pb2.Task) -> dict[str, object]:
    row: dict[str, object] = {
        "task": task.name,
        "k": task.k,
        "covariance": covariance_name(task.covariance),
        "experiment": task.experiment,
        "state": task_state(task),
        "attempts": task.attempt_count,
        "reason": reason(task),
    }
    if task.HasField("end_time"):
        row["seconds"] = task.compute_seconds
    if task.HasField("result"):
        result = task.result
        row |= {
            "bic": result.bic,
            "aic": result.aic,
            "log_likelihood": result.log_likelihood,
            "smallest_cluster": min(result.counts, default=0),
            "iterations": result.n_iter,
            "converged": result.converged,
            "regularized": result.regularized,
        }
    return row
