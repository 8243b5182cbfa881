from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.covariance import Covariance
from services.core.errors import InvalidInput
from services.core.jobs import Job, JobSpec, JobState
from services.core.reporting import (
    Interval,
    ReportWarning,
    WarningCode,
    build_report,
    check_min_members,
    choose_best,
    is_at_edge,
    mean_interval,
)
from services.core.tasks import Task, TaskKey, TaskResult, TaskState

FULL, DIAG = Covariance.FULL_UNTIED, Covariance.DIAG_TIED


def job(**changes: Any) -> Job:
    spec = JobSpec("d", ("a",), max_k=changes.pop("max_k", 4), n_experiments=3, covariances=(FULL, DIAG))
    return Job("j", "", "", spec, changes.pop("row_count", 100), changes.pop("skipped", 0),
               datetime(2026, 1, 1, tzinfo=UTC), **changes)  # fmt: skip


def task(
    experiment: int,
    k: int,
    bic: float,
    *,
    covariance: Covariance = FULL,
    members: int = 50,
    state: TaskState = TaskState.DONE,
) -> Task:
    counts = (100,) * (k - 1) + (members,)
    result = TaskResult(bic + 10, bic, bic + 2, 5, 7, True, False, counts, 0)
    return Task(TaskKey("j", experiment, k, covariance), state, result=result)


def test_highest_bic_wins() -> None:
    best = task(0, 3, -5.0)
    assert choose_best([task(0, 2, -10.0), best, task(1, 3, -7.0)]) is best


def test_of_equals_the_smaller_k_then_the_lower_key_wins() -> None:
    assert choose_best([task(1, 3, -5.0), task(2, 2, -5.0), task(1, 2, -5.0)]) == task(1, 2, -5.0)
    both = [task(0, 2, -5.0, covariance=DIAG), task(0, 2, -5.0, covariance=FULL)]
    assert choose_best(both) == both[1]


def test_nothing_scored_has_no_best() -> None:
    assert choose_best([]) is None
    assert choose_best([Task(TaskKey("j", 0, 1, FULL))]) is None


@given(st.permutations([task(e, k, -float(e * k)) for e in range(3) for k in range(1, 4)]))
def test_choice_does_not_depend_on_the_order(tasks: list[Task]) -> None:
    assert choose_best(tasks) == task(0, 1, 0.0)


def test_degenerate_fit_is_never_recommended_however_high_it_scores() -> None:
    degenerate = task(0, 3, 1e9, state=TaskState.DEGENERATE)
    sound = task(0, 2, -5.0)
    report = build_report(job(), [degenerate, sound], 1)
    assert report.best is sound
    assert report.covariances[0].best is sound
    point = report.covariances[0].points[2]
    assert (point.k, point.counted, point.degenerate, point.too_small, point.bic) == (3, 0, 1, 0, None)


def test_small_clusters_do_not_count() -> None:
    small, sound = task(0, 3, 0.0, members=29), task(0, 2, -5.0, members=30)
    assert build_report(job(), [small, sound], 30).best is sound
    assert build_report(job(), [small, sound], 29).best is small
    point = build_report(job(), [small, sound], 30).covariances[0].points[2]
    assert (point.counted, point.degenerate, point.too_small) == (0, 0, 1)


def test_each_covariance_has_its_best() -> None:
    full, diag = task(0, 3, -5.0), task(1, 2, -6.0, covariance=DIAG)
    report = build_report(job(), [full, diag, task(2, 2, -9.0, covariance=DIAG)], 30)
    assert report.best is full
    assert [(r.covariance, r.best) for r in report.covariances] == [(FULL, full), (DIAG, diag)]


def test_curve_has_a_point_per_k_with_an_interval_over_experiments() -> None:
    tasks = [task(0, 2, 1.0), task(1, 2, 2.0), task(2, 2, 3.0)]
    points = build_report(job(), tasks, 30).covariances[0].points
    assert [point.k for point in points] == [1, 2, 3, 4]
    assert points[0].bic is None
    assert points[1].counted == 3
    assert points[1].bic is not None
    assert points[1].aic is not None
    # t(0.975, 2) = 4.302653 from the tables; s = 1.
    assert points[1].bic.mean == 2.0
    assert points[1].bic.upper == pytest.approx(2.0 + 4.302653 / math.sqrt(3), abs=1e-6)
    assert points[1].aic.mean == 4.0


@pytest.mark.parametrize(
    ("values", "mean", "half"),
    [
        # Quantiles of Student's t as printed in tables: 12.706, 4.303, 2.262.
        ([0.0, 2.0], 1.0, 12.7062 * math.sqrt(2) / math.sqrt(2)),
        ([1.0, 2.0, 3.0], 2.0, 4.30265 / math.sqrt(3)),
        (
            [float(v) for v in range(10)],
            4.5,
            2.26216 * math.sqrt(82.5 / 9) / math.sqrt(10),
        ),
    ],
)
def test_interval_of_the_mean(values: list[float], mean: float, half: float) -> None:
    interval = mean_interval(values)
    assert interval is not None
    assert interval.mean == mean
    assert interval.upper - interval.mean == pytest.approx(half, rel=1e-5)
    assert interval.mean - interval.lower == pytest.approx(half, rel=1e-5)


def test_interval_of_one_value_and_of_none() -> None:
    assert mean_interval([3.0]) == Interval(3.0, 3.0, 3.0)
    assert mean_interval([]) is None


def test_edge_is_told() -> None:
    assert is_at_edge(job(), task(0, 4, 0.0))
    assert not is_at_edge(job(), task(0, 3, 0.0))
    assert not is_at_edge(job(max_k=1), task(0, 1, 0.0))
    report = build_report(job(), [task(0, 4, 0.0)], 30)
    assert report.warnings == (
        ReportWarning(
            WarningCode.BEST_AT_EDGE,
            "The best K, 4, is at the edge of the range: a larger K may be better still.",
        ),
    )


def test_warnings_are_sentences_about_this_job() -> None:
    error = Task(TaskKey("j", 0, 1, FULL), TaskState.ERROR, error="no")
    report = build_report(job(skipped=3, row_count=97), [task(0, 2, 0.0, members=2), error], 30)
    assert report.best is None
    assert report.warnings == (
        ReportWarning(
            WarningCode.NO_FIT_QUALIFIES,
            "No fit qualifies: 1 with a cluster below 30 members, 1 failed. Lower min_members, or add rows.",
        ),
        ReportWarning(
            WarningCode.ROWS_SKIPPED, "3 of 100 rows were left out because a chosen column is missing there."
        ),
        ReportWarning(
            WarningCode.TASKS_FAILED, "1 of 2 tasks failed and are missing here. Retry the job to run them."
        ),
    )


def test_a_cancelled_job_says_what_is_missing() -> None:
    cancelled = [Task(TaskKey("j", e, 1, DIAG), TaskState.CANCELLED) for e in range(3)]
    report = build_report(job(state=JobState.CANCELLED), [task(0, 2, 0.0), *cancelled], 30)
    assert report.warnings == (
        ReportWarning(
            WarningCode.TASKS_CANCELLED,
            "3 of 4 tasks were cancelled and are missing here. Retry the job to run them.",
        ),
    )
    assert [entry.note for entry in report.covariances] == ["", "No fit qualifies: 3 cancelled."]


def test_fits_that_are_degenerate_are_not_called_small() -> None:
    degenerate = [task(e, 2, 0.0, state=TaskState.DEGENERATE) for e in range(3)]
    report = build_report(job(), degenerate, 1)
    assert report.best is None
    assert [warning.text for warning in report.warnings] == [
        "No fit qualifies: 3 degenerate. "
        "Clusters are too small or flat for the covariance: choose fewer columns, or add rows."
    ]


def test_each_covariance_says_why_nothing_of_it_qualifies() -> None:
    mixed = [
        task(0, 2, 0.0, state=TaskState.DEGENERATE, members=1),
        task(1, 2, 0.0, members=2),
        task(2, 2, 0.0, members=3),
        Task(TaskKey("j", 0, 1, FULL), TaskState.ERROR, error="no"),
        Task(TaskKey("j", 1, 1, FULL), TaskState.RUNNING),
    ]
    full, diag = build_report(job(state=JobState.RUNNING), mixed, 30).covariances
    assert full.note == "No fit qualifies: 1 degenerate, 2 with a cluster below 30 members, 1 failed."
    assert diag.note == "No fit has ended yet."
    assert build_report(job(), [*mixed, task(0, 1, 0.0)], 30).covariances[0].note == ""


def test_job_that_runs_has_an_incomplete_report() -> None:
    assert not build_report(job(state=JobState.RUNNING), [], 30).complete
    assert build_report(job(state=JobState.CANCELLED), [], 30).complete
    assert build_report(job(), [], 30).warnings == ()


def test_min_members_is_at_least_one() -> None:
    assert check_min_members(1) == 1
    with pytest.raises(InvalidInput, match="min_members is 0; it must be 1 or more") as caught:
        check_min_members(0)
    assert caught.value.violations[0].field == "min_members"
