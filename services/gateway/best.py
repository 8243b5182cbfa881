"""The best task of a job, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable

from services.core.errors import FailedPrecondition
from services.core.jobs import Job
from services.core.reporting import build_report
from services.core.tasks import Task
from services.gateway.names import job_name

__all__ = ["require_best"]


def require_best(job: Job, tasks: Iterable[Task], min_members: int) -> Task:
    """The task that the job's report recommends.

    Raises:
        FailedPrecondition: no fit qualifies, yet or at all (`NO_FIT_QUALIFIES`).
    """
    report = build_report(job, tasks, min_members)
    if report.best is None:
        name = job_name(job.id)
        advice = report.left_out.advice if job.state.is_terminal else "Wait until it has ended."
        raise FailedPrecondition(
            f"'{name}' has no best task. {report.left_out.sentence} {advice}".rstrip(),
            "NO_FIT_QUALIFIES",
            {"job": name},
        )
    return report.best
