"""Reports of jobs: that of 30,000 tasks takes a second, so the last ones are kept."""

from __future__ import annotations

from collections.abc import Callable

from services.core.errors import FailedPrecondition
from services.core.jobs import Job
from services.core.ports import Store
from services.core.reporting import Report, build_report
from services.core.tasks import Task
from services.gateway.kept import Kept
from services.gateway.names import job_name

__all__ = ["Reports", "require_best"]

_MAX_KEPT = 256


class Reports:
    """What jobs recommend, of one gateway."""

    def __init__(self, store: Store) -> None:
        """Tasks come from this store."""
        self._store = store
        self._kept: Kept[tuple[str, int, int], Report] = Kept(_MAX_KEPT)

    def of(self, job: Job, min_members: int, check: Callable[[], None]) -> Report:
        """The report of a job as the job is now.

        Args:
            job: read before now: its revision says which reports are still true, and whoever reads in one
                that it is complete has seen all of its tasks.
            min_members: of each cluster of a fit that counts.
            check: called while others wait for theirs; ends the waiting by raising.
        """
        return self._kept.get(
            (job.id, job.revision, min_members),
            lambda: build_report(job, self._store.all_tasks(job.id), min_members),
            check,
        )


def require_best(job: Job, report: Report) -> Task:
    """The task that the job's report recommends.

    Raises:
        FailedPrecondition: no fit qualifies, yet or at all (`NO_FIT_QUALIFIES`).
    """
    if report.best is None:
        name = job_name(job.id)
        advice = report.left_out.advice if job.state.is_terminal else "Wait until it has ended."
        raise FailedPrecondition(
            f"'{name}' has no best task. {report.left_out.sentence} {advice}".rstrip(),
            "NO_FIT_QUALIFIES",
            {"job": name},
        )
    return report.best
