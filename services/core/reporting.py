"""Reporting: which tasks a job recommends, and the score curves behind that. Pure functions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

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
    "LeftOut",
    "Report",
    "ReportWarning",
    "ScorePoint",
    "WarningCode",
    "best_by_experiment",
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
    """Scores of one K under one covariance, over the experiments that count.

    Attributes:
        counted: experiments that count.
        degenerate: experiments that ended DEGENERATE and never count.
        too_small: experiments that are DONE with a cluster below `min_members`.
    """

    k: int
    counted: int
    degenerate: int
    too_small: int
    bic: Interval | None
    aic: Interval | None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Why tasks that have ended do not count; each is counted once.

    Attributes:
        degenerate: fits with a cluster too small for its covariance, or without spread.
        too_small: sound fits with a cluster below `min_members`.
        failed: tasks in ERROR.
        cancelled: tasks in CANCELLED.
        min_members: what the sound fits were held against.
    """

    degenerate: int
    too_small: int
    failed: int
    cancelled: int
    min_members: int

    @property
    def total(self) -> int:
        """How many tasks ended without counting."""
        return self.degenerate + self.too_small + self.failed + self.cancelled

    @property
    def sentence(self) -> str:
        """Why no fit qualifies, for a person who sees none."""
        if not self.total:
            return "No fit has ended yet."
        reasons = (
            (self.degenerate, "degenerate"),
            (self.too_small, f"with a cluster below {self.min_members} members"),
            (self.failed, "failed"),
            (self.cancelled, "cancelled"),
        )
        return f"No fit qualifies: {', '.join(f'{count} {why}' for count, why in reasons if count)}."

    @property
    def advice(self) -> str:
        """What to do about fits that were made and do not count; "" when none was."""
        if self.too_small:
            return "Lower min_members, or add rows."
        if self.degenerate:
            return "Clusters are too small or flat for the covariance: choose fewer columns, or add rows."
        return ""


@dataclass(frozen=True, slots=True)
class CovarianceReport:
    """What the fits of one covariance model say; `best` is None when none qualifies."""

    covariance: Covariance
    best: Task | None
    points: tuple[ScorePoint, ...]
    left_out: LeftOut

    @property
    def note(self) -> str:
        """Why no fit qualifies, a sentence; "" when one does."""
        return "" if self.best is not None else self.left_out.sentence


class WarningCode(StrEnum):
    """What a warning is about, for programs."""

    BEST_AT_EDGE = "best at edge"
    NO_FIT_QUALIFIES = "no fit qualifies"
    ROWS_SKIPPED = "rows skipped"
    TASKS_FAILED = "tasks failed"
    TASKS_CANCELLED = "tasks cancelled"


@dataclass(frozen=True, slots=True)
class ReportWarning:
    """Something a reader of a report should know; `text` is one or two sentences."""

    code: WarningCode
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a job recommends from the tasks that are DONE so far."""

    min_members: int
    best: Task | None
    covariances: tuple[CovarianceReport, ...]
    left_out: LeftOut
    complete: bool
    warnings: tuple[ReportWarning, ...]


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
    left_out = _left_out(tasks, min_members)
    return Report(
        min_members=min_members,
        best=best,
        covariances=reports,
        left_out=left_out,
        complete=job.state.is_terminal,
        warnings=tuple(_warnings(job, best, len(tasks), left_out)),
    )


def choose_best(tasks: Iterable[Task]) -> Task | None:
    """The task with the highest BIC; of equals the one with the smaller K, then the lower key."""
    return min(
        (task for task in tasks if task.result is not None),
        key=lambda task: (-_bic(task), task.key.k, task.key.experiment, task.key.covariance.stream),
        default=None,
    )


def best_by_experiment(tasks: Iterable[Task], min_members: int) -> dict[int, Task]:
    """The best task of each experiment in which some fit qualifies, as `choose_best` chooses; ascending."""
    qualified: dict[int, list[Task]] = {}
    for task in tasks:
        if _qualifies(task, min_members):
            qualified.setdefault(task.key.experiment, []).append(task)
    chosen = {experiment: choose_best(qualified[experiment]) for experiment in sorted(qualified)}
    return {experiment: task for experiment, task in chosen.items() if task is not None}


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
        at_k = [task for task in mine if task.key.k == k]
        counted = [task.result for task in at_k if _qualifies(task, min_members)]
        results = [result for result in counted if result is not None]
        left_out = _left_out(at_k, min_members)
        points.append(
            ScorePoint(
                k=k,
                counted=len(results),
                degenerate=left_out.degenerate,
                too_small=left_out.too_small,
                bic=mean_interval([result.bic for result in results]),
                aic=mean_interval([result.aic for result in results]),
            )
        )
    best = choose_best(task for task in mine if _qualifies(task, min_members))
    return CovarianceReport(covariance, best, tuple(points), _left_out(mine, min_members))


def _left_out(tasks: Sequence[Task], min_members: int) -> LeftOut:
    states = Counter(task.state for task in tasks)
    qualified = sum(_qualifies(task, min_members) for task in tasks)
    return LeftOut(
        degenerate=states[TaskState.DEGENERATE],
        too_small=states[TaskState.DONE] - qualified,
        failed=states[TaskState.ERROR],
        cancelled=states[TaskState.CANCELLED],
        min_members=min_members,
    )


def _warnings(job: Job, best: Task | None, task_count: int, left_out: LeftOut) -> Iterable[ReportWarning]:
    if best is not None and is_at_edge(job, best):
        yield ReportWarning(
            WarningCode.BEST_AT_EDGE,
            f"The best K, {best.key.k}, is at the edge of the range: a larger K may be better still.",
        )
    if best is None and left_out.total:
        text = f"{left_out.sentence} {left_out.advice}".rstrip()
        yield ReportWarning(WarningCode.NO_FIT_QUALIFIES, text)
    if job.skipped_row_count:
        yield ReportWarning(
            WarningCode.ROWS_SKIPPED,
            f"{job.skipped_row_count} of {job.row_count + job.skipped_row_count} rows were left out "
            "because a chosen column is missing there.",
        )
    for code, count, what in (
        (WarningCode.TASKS_FAILED, left_out.failed, "failed"),
        (WarningCode.TASKS_CANCELLED, left_out.cancelled, "were cancelled"),
    ):
        if count:
            text = f"{count} of {task_count} tasks {what} and are missing here. Retry the job to run them."
            yield ReportWarning(code, text)
