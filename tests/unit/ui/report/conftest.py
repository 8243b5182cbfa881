"""Hand-made answers of the service: two clusters in three columns, with hostile names."""

from __future__ import annotations

import numpy as np
import pytest
from kmeans.v1 import dataset_pb2, job_pb2, report_pb2, task_pb2
from numpy.typing import NDArray

from ui.report.material import Material
from ui.report.sample import Sample

HOSTILE = '<script>alert("x")</script> & %{y} ${z}'
COLUMNS = ["a", HOSTILE, "c"]
FULL_UNTIED, DIAG_TIED = job_pb2.COVARIANCE_FULL_UNTIED, job_pb2.COVARIANCE_DIAG_TIED


def result(counts: list[int], bic: float) -> task_pb2.TaskResult:
    return task_pb2.TaskResult(bic=bic, aic=bic + 5, log_likelihood=bic + 9, counts=counts)


def recommendation(counts: list[int], bic: float, *, at_edge: bool = False) -> report_pb2.Recommendation:
    k = len(counts)
    return report_pb2.Recommendation(
        task=f"jobs/j/tasks/0-{k}-full-untied",
        k=k,
        covariance=FULL_UNTIED,
        result=result(counts, bic),
        at_edge=at_edge,
    )


def interval(mean: float, half: float) -> report_pb2.Interval:
    return report_pb2.Interval(mean=mean, lower=mean - half, upper=mean + half)


def make_report(*, qualifies: bool = True) -> report_pb2.Report:
    best = recommendation([60, 40], -100.0) if qualifies else None
    points = [
        report_pb2.ScorePoint(k=1, counted=3, bic=interval(-150, 2), aic=interval(-140, 1)),
        report_pb2.ScorePoint(k=2, counted=2, degenerate=1, bic=interval(-110, 8), aic=interval(-99, 7)),
        report_pb2.ScorePoint(k=3, too_small=3),
    ]
    return report_pb2.Report(
        job="jobs/j",
        min_members=30,
        best=best,
        complete=True,
        interval_method="95 % by t",
        covariances=[
            report_pb2.CovarianceReport(
                covariance=FULL_UNTIED,
                best=best,
                points=points,
                note="" if qualifies else "No fit qualifies: 9 with a cluster below 30 members.",
            ),
            report_pb2.CovarianceReport(
                covariance=DIAG_TIED, points=points[2:], note="No fit qualifies: 3 degenerate."
            ),
        ],
        warnings=[report_pb2.ReportWarning(code=3, text="2 of 102 rows <b>were</b> left out.")],
    )


def cluster(label: int, count: int, center: list[float], covariance: NDArray[np.float64]) -> task_pb2.Cluster:
    return task_pb2.Cluster(
        label=label,
        count=count,
        weight=count / 100,
        center=center,
        standard_deviation=np.sqrt(np.diag(covariance)).tolist(),
        covariance=covariance.ravel().tolist(),
    )


@pytest.fixture
def columns() -> list[str]:
    return list(COLUMNS)


@pytest.fixture
def report() -> report_pb2.Report:
    return make_report()


@pytest.fixture
def clusters() -> list[task_pb2.Cluster]:
    shape = np.array([[4.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 9.0]])
    return [cluster(0, 60, [0.0, 0.0, 5.0], shape), cluster(1, 40, [10.0, 0.0, 5.0], shape / 4)]


@pytest.fixture
def sample() -> Sample:
    generator = np.random.default_rng(1)
    values = generator.normal(size=(102, 3))
    values[60:100, 0] += 10
    values[100:, 0] = np.nan
    return Sample(np.arange(102), dict(zip(COLUMNS, values.T, strict=True)), 102)


@pytest.fixture
def labels() -> NDArray[np.int64]:
    return np.array([0] * 60 + [1] * 40 + [-1] * 2)


def make_material(
    sample: Sample, labels: NDArray[np.int64], clusters: list[task_pb2.Cluster], *, qualifies: bool = True
) -> Material:
    report = make_report(qualifies=qualifies)
    task = report.best.task
    statistics = dataset_pb2.ColumnStatistics(minimum=-5, maximum=15, mean=4, standard_deviation=2)
    spec = job_pb2.JobSpec(
        dataset="datasets/d",
        columns=list(sample.columns),
        max_k=3,
        n_experiments=3,
        n_init=4,
        covariances=[FULL_UNTIED, DIAG_TIED],
        assignment=job_pb2.ASSIGNMENT_LIKELIHOOD,
        scale=True,
        seed=11,
    )
    c = len(sample.columns)
    return Material(
        job=job_pb2.Job(name="jobs/j", display_name=HOSTILE, spec=spec, state=3, row_count=100),
        dataset=dataset_pb2.Dataset(
            name="datasets/d",
            display_name=f"{HOSTILE}.csv",
            row_count=102,
            sha256="ab" * 32,
            columns=[
                dataset_pb2.Column(name=name, kind=dataset_pb2.COLUMN_KIND_NUMERIC, statistics=statistics)
                for name in sample.columns
            ],
        ),
        report=report,
        tasks={task: task_pb2.Task(name=task, k=2, result=report.best.result, clusters=clusters)}
        if qualifies
        else {},
        sample=sample,
        labels={task: labels} if qualifies else {},
        correlation=dataset_pb2.Correlation(
            columns=list(sample.columns), values=np.eye(c).ravel().tolist(), row_count=100
        ),
        agreement=report_pb2.Agreement(
            best=task,
            row_count=100,
            experiments=[
                report_pb2.ExperimentAgreement(
                    experiment=number,
                    task=f"{task}{number or ''}",
                    k=2,
                    covariance=1,
                    adjusted_rand_index=value,
                )
                for number, value in enumerate((1.0, 0.9, 0.7))
            ],
        )
        if qualifies
        else None,
    )


@pytest.fixture
def material(sample: Sample, labels: NDArray[np.int64], clusters: list[task_pb2.Cluster]) -> Material:
    return make_material(sample, labels, clusters)
