"""Reporting: which tasks a job recommends, and the score curves behind that. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

from services.core.covariance import Covariance
from services.core.errors import FieldViolation, InvalidInput
from services.core.jobs import Job
from services.core.tasks import Task, TaskState

__all__ = [
    "DEFAULT_MIN_MEMBERS",
    "INTERVAL_METHOD",
    "CovarianceReport",
    "Interval",
    "Report",
    "ScorePoint",
    "build_report",
    "check_min_members",
    "choose_best",
    "is_at_edge",
    "mean_interval",
]

DEFAULT_MIN_MEMBERS = 30
INTERVAL_METHOD = "95 % confidence interval of the mean over the counted experiments (Student's t)"


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with the bounds of its 95 % confidence interval."""

    mean: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class ScorePoint:
    """Scores of one K under one covariance, over the experiments that count."""

    k: int
    counted: int
    left_out: int
    bic: Interval | None
    aic: Interval | None


@dataclass(frozen=True, slots=True)
class CovarianceReport:
    """What the fits of one covariance model say; `best` is None when none qualifies."""

    covariance: Covariance
    best: Task | None
    points: tuple[ScorePoint, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What a job recommends from the tasks that are DONE so far."""

    min_members: int
    best: Task | None
    covariances: tuple[CovarianceReport, ...]
    complete: bool
    warnings: tuple[str, ...]


def check_min_members(min_members: int) -> int:
    """Return it, or raise InvalidInput when it is below 1."""
    if min_members < 1:
        violation = FieldViolation("min_members", f"min_members is {min_members}; it must be 1 or more.")
        raise InvalidInput(violation.description, violations=[violation])
    return min_members


def build_report(job: Job, tasks: Iterable[Task], min_members: int) -> Report:
    """Recommend the best task per covariance and overall, by BIC, with score curves.

    Only DONE tasks whose every cluster has `min_members` members count: a DEGENERATE fit is never
    recommended, however high its score.
    """
    tasks = tuple(tasks)
    reports = tuple(
        _covariance_report(job, covariance, tasks, min_members) for covariance in job.spec.covariances
    )
    best = choose_best([report.best for report in reports if report.best is not None])
    return Report(
        min_members=min_members,
        best=best,
        covariances=reports,
        complete=job.state.is_terminal,
        warnings=tuple(_warnings(job, best, tasks, min_members)),
    )


def choose_best(tasks: Iterable[Task]) -> Task | None:
    """The task with the highest BIC; of equals the one with the smaller K, then the lower key."""
    return min(
        (task for task in tasks if task.result is not None),
        key=lambda task: (-_bic(task), task.key.k, task.key.experiment, task.key.covariance.stream),
        default=None,
    )


def is_at_edge(job: Job, task: Task) -> bool:
    """Whether the task's K is the largest that the job tried, so that more may be better still."""
    return task.key.k == job.spec.max_k and job.spec.max_k > 1


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Mean and 95 % interval, mean ± t(0.975, m - 1) * s / sqrt(m); None for no value.

    One value has no spread to speak of: both bounds equal it.
    """
    m = len(values)
    if m == 0:
        return None
    mean = math.fsum(values) / m
    if m == 1:
        return Interval(mean, mean, mean)
    variance = math.fsum((value - mean) ** 2 for value in values) / (m - 1)
    half = float(stdtrit(m - 1, 0.975)) * math.sqrt(variance / m)
    return Interval(mean, mean - half, mean + half)


def _qualifies(task: Task, min_members: int) -> bool:
    return task.state is TaskState.DONE and task.result is not None and min(task.result.counts) >= min_members


def _bic(task: Task) -> float:
    return task.result.bic if task.result is not None else -math.inf


def _covariance_report(
    job: Job, covariance: Covariance, tasks: Sequence[Task], min_members: int
) -> CovarianceReport:
    mine = [task for task in tasks if task.key.covariance is covariance]
    points = []
    for k in range(1, job.spec.max_k + 1):
        scored = [task for task in mine if task.key.k == k and task.result is not None]
        counted = [task.result for task in scored if _qualifies(task, min_members)]
        results = [result for result in counted if result is not None]
        points.append(
            ScorePoint(
                k=k,
                counted=len(results),
                left_out=len(scored) - len(results),
                bic=mean_interval([result.bic for result in results]),
                aic=mean_interval([result.aic for result in results]),
            )
        )
    best = choose_best(task for task in mine if _qualifies(task, min_members))
    return CovarianceReport(covariance, best, tuple(points))


def _warnings(job: Job, best: Task | None, tasks: Sequence[Task], min_members: int) -> Iterable[str]:
    if best is not None and is_at_edge(job, best):
        yield (
            f"The best K, {best.key.k}, is at the edge of the range: a larger K may be better still. "
            "Run again with a higher max_k."
        )
    if best is None and any(task.result is not None for task in tasks):
        yield (f"No fit has clusters of at least {min_members} members each. Lower min_members, or add rows.")
    if job.skipped_row_count:
        yield (
            f"{job.skipped_row_count} of {job.row_count + job.skipped_row_count} rows were left out "
            "because a chosen column is missing there."
        )
    failed = sum(task.state is TaskState.ERROR for task in tasks)
    if failed:
        yield f"{failed} of {len(tasks)} tasks failed and are missing here. Retry the job to run them."
