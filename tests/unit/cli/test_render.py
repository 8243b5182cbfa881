"""What people read of a report, and what programs do."""

from __future__ import annotations

import io
from typing import Any

from kmeans.v1 import job_pb2, report_pb2, task_pb2
from rich.console import Console

from services.cli.render import json_report, print_recommendation

WARNING = report_pb2.ReportWarning
BEST = report_pb2.Recommendation(
    task="jobs/j/tasks/0-2-full-tied",
    k=2,
    covariance=job_pb2.COVARIANCE_FULL_TIED,
    result=task_pb2.TaskResult(bic=-9.0, counts=[70, 30]),
    at_edge=True,
)
REPORT = report_pb2.Report(
    job="jobs/j",
    min_members=30,
    best=BEST,
    covariances=[
        report_pb2.CovarianceReport(covariance=job_pb2.COVARIANCE_FULL_TIED, best=BEST),
        report_pb2.CovarianceReport(
            covariance=job_pb2.COVARIANCE_DIAG_TIED, note="No fit qualifies: 4 degenerate."
        ),
    ],
    complete=True,
    warnings=[
        WARNING(code=WARNING.CODE_BEST_AT_EDGE, text="The best K is at the edge."),
        WARNING(code=WARNING.CODE_TASKS_CANCELLED, text="3 of 8 tasks were cancelled."),
        WARNING(code=99, text="Something newer than this program."),  # type: ignore[arg-type]
    ],
)


def job(**counts: Any) -> job_pb2.Job:
    return job_pb2.Job(
        name="jobs/j",
        display_name="soil.csv",
        row_count=100,
        spec=job_pb2.JobSpec(columns=["a"]),
        task_counts=job_pb2.TaskCounts(**counts),
    )


def printed(job: job_pb2.Job) -> str:
    out = io.StringIO()
    print_recommendation(Console(file=out, width=200), job, REPORT)
    return out.getvalue()


def test_the_header_counts_what_was_fitted() -> None:
    assert ", 8 tasks in 0.0 s" in printed(job(done=7, degenerate=1, total=8))
    assert ", 5 of 8 tasks in 0.0 s" in printed(job(done=4, degenerate=1, cancelled=2, error=1, total=8))


def test_a_covariance_without_a_fit_says_what_the_report_says() -> None:
    row, note = [line for line in printed(job()).splitlines() if "diag-tied" in line]
    assert row.split() == ["diag-tied", *"-----"]
    assert note == "diag-tied: No fit qualifies: 4 degenerate."


def test_every_warning_is_printed_with_the_hint_for_its_code() -> None:
    lines = printed(job()).splitlines()
    assert lines[-3:] == [
        "The best K is at the edge. Run again with a higher --max-k.",
        "3 of 8 tasks were cancelled.",
        "Something newer than this program.",
    ]


def test_json_has_the_texts_of_the_warnings() -> None:
    assert json_report(job(), REPORT, [])["warnings"] == [warning.text for warning in REPORT.warnings]
