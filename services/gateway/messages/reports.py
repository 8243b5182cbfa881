"""Reports."""

from __future__ import annotations

from kmeans.v1 import report_pb2

from services.core.agreement import Agreement
from services.core.jobs import Job
from services.core.reporting import INTERVAL_METHOD, Interval, Report, ScorePoint, is_at_edge
from services.core.tasks import Task
from services.gateway.messages.enums import COVARIANCES, WARNING_CODES
from services.gateway.messages.tasks import result_message
from services.gateway.names import job_name, task_name

__all__ = ["agreement_message", "report_message"]


def agreement_message(agreement: Agreement) -> report_pb2.Agreement:
    """How far the experiments of a job agree with its best task."""
    return report_pb2.Agreement(
        best=task_name(agreement.best.key),
        experiments=[
            report_pb2.ExperimentAgreement(
                experiment=entry.task.key.experiment,
                task=task_name(entry.task.key),
                k=entry.task.key.k,
                covariance=COVARIANCES.name(entry.task.key.covariance),
                adjusted_rand_index=entry.adjusted_rand_index,
            )
            for entry in agreement.experiments
        ],
        row_count=agreement.row_count,
        sampled=agreement.sampled,
    )


def report_message(job: Job, report: Report) -> report_pb2.Report:
    """What the job recommends."""
    return report_pb2.Report(
        job=job_name(job.id),
        min_members=report.min_members,
        best=_recommendation(job, report.best),
        covariances=[
            report_pb2.CovarianceReport(
                covariance=COVARIANCES.name(entry.covariance),
                best=_recommendation(job, entry.best),
                points=[_point(point) for point in entry.points],
                note=entry.note,
            )
            for entry in report.covariances
        ],
        complete=report.complete,
        interval_method=INTERVAL_METHOD,
        warnings=[
            report_pb2.ReportWarning(code=WARNING_CODES.name(warning.code), text=warning.text)
            for warning in report.warnings
        ],
    )


def _recommendation(job: Job, task: Task | None) -> report_pb2.Recommendation | None:
    if task is None or task.result is None:
        return None
    return report_pb2.Recommendation(
        task=task_name(task.key),
        k=task.key.k,
        covariance=COVARIANCES.name(task.key.covariance),
        experiment=task.key.experiment,
        result=result_message(task.result),
        at_edge=is_at_edge(job, task),
    )


def _point(point: ScorePoint) -> report_pb2.ScorePoint:
    return report_pb2.ScorePoint(
        k=point.k,
        counted=point.counted,
        degenerate=point.degenerate,
        too_small=point.too_small,
        bic=_interval(point.bic),
        aic=_interval(point.aic),
    )


def _interval(interval: Interval | None) -> report_pb2.Interval | None:
    if interval is None:
        return None
    return report_pb2.Interval(mean=interval.mean, lower=interval.lower, upper=interval.upper)
