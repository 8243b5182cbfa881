from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.covariance import Covariance
from services.core.jobs import Job, JobSpec
from services.core.planning import (
    MAX_BUNDLE_TASKS,
    bundle_seconds,
    bundle_tasks,
    estimate_job_seconds,
    estimate_task_seconds,
    plan_tasks,
    publish_window,
    task_seed,
)
from services.core.tasks import TaskKey


def job(**spec: object) -> Job:
    return Job("j", "", "", JobSpec("d", ("a", "b"), **spec), 100, 0, datetime(2026, 1, 1, tzinfo=UTC))  # type: ignore[arg-type]


def test_default_job_has_six_hundred_tasks() -> None:
    keys = list(plan_tasks(job()))
    assert len(keys) == len(set(keys)) == job().spec.n_tasks == 600


def test_one_whole_score_curve_comes_first() -> None:
    planned = job(max_k=2, n_experiments=2, covariances=(Covariance.DIAG_TIED, Covariance.FULL_UNTIED))
    assert [key.short_id for key in plan_tasks(planned)] == [
        "0-1-diag-tied",
        "0-1-full-untied",
        "0-2-diag-tied",
        "0-2-full-untied",
        "1-1-diag-tied",
        "1-1-full-untied",
        "1-2-diag-tied",
        "1-2-full-untied",
    ]


def test_planning_again_gives_the_same_tasks() -> None:
    assert list(plan_tasks(job())) == list(plan_tasks(job()))


def test_every_task_has_a_stream_of_its_own() -> None:
    states = {tuple(task_seed(7, key).generate_state(4)) for key in plan_tasks(job())}
    assert len(states) == 600


def test_stream_depends_on_seed_experiment_k_and_covariance_alone() -> None:
    key = TaskKey("j", 1, 2, Covariance.FULL_TIED)
    other_job = TaskKey("another", 1, 2, Covariance.FULL_TIED)
    expected = np.random.SeedSequence(7, spawn_key=(1, 2, 1)).generate_state(4)
    np.testing.assert_array_equal(task_seed(7, key).generate_state(4), expected)
    np.testing.assert_array_equal(task_seed(7, other_job).generate_state(4), expected)
    assert not np.array_equal(task_seed(8, key).generate_state(4), expected)


def test_covariances_never_change_their_number_in_the_stream() -> None:
    assert {covariance.value: covariance.stream for covariance in Covariance} == {
        "full-untied": 0,
        "full-tied": 1,
        "diag-untied": 2,
        "diag-tied": 3,
        "spher-untied": 4,
        "spher-tied": 5,
    }


@given(
    costs=st.lists(st.floats(0.0, 10.0), max_size=600),
    target=st.floats(0.01, 5.0),
)
def test_bundles_hold_every_task_once_in_order_and_keep_to_the_target(
    costs: list[float], target: float
) -> None:
    keys = [TaskKey("j", index, 1, Covariance.FULL_TIED) for index in range(len(costs))]
    bundles = list(bundle_tasks(keys, lambda key: costs[key.experiment], target))
    assert [key for bundle in bundles for key in bundle.keys] == keys
    for bundle in bundles:
        assert bundle.job_id == "j"
        assert 1 <= len(bundle.keys) <= MAX_BUNDLE_TASKS
        total = 0.0
        for key in bundle.keys:
            total += costs[key.experiment]
        assert len(bundle.keys) == 1 or total <= target


def test_bundles_are_filled_as_far_as_they_go() -> None:
    keys = [TaskKey("j", index, 1, Covariance.FULL_TIED) for index in range(7)]
    sizes = [len(bundle.keys) for bundle in bundle_tasks(keys, lambda key: 1.0, 3.0)]
    assert sizes == [3, 3, 1]


def test_estimate_grows_with_what_makes_a_fit_slower() -> None:
    base = estimate_task_seconds(1000, 4, 3, Covariance.FULL_UNTIED, n_init=10, max_iter=300)
    assert estimate_task_seconds(2000, 4, 3, Covariance.FULL_UNTIED, n_init=10, max_iter=300) > base
    assert estimate_task_seconds(1000, 8, 3, Covariance.FULL_UNTIED, n_init=10, max_iter=300) > base
    assert estimate_task_seconds(1000, 4, 6, Covariance.FULL_UNTIED, n_init=10, max_iter=300) > base
    assert estimate_task_seconds(1000, 4, 3, Covariance.FULL_UNTIED, n_init=20, max_iter=300) > base
    assert estimate_task_seconds(1000, 4, 3, Covariance.DIAG_UNTIED, n_init=10, max_iter=300) < base
    assert estimate_task_seconds(1000, 4, 3, Covariance.FULL_UNTIED, n_init=10, max_iter=2) < base


def test_job_costs_what_its_tasks_cost() -> None:
    spec = job(max_k=3, n_experiments=4).spec
    expected = sum(
        estimate_task_seconds(500, 2, key.k, key.covariance, n_init=spec.n_init, max_iter=spec.max_iter)
        for key in plan_tasks(job(max_k=3, n_experiments=4))
    )
    assert estimate_job_seconds(spec, 500) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("job_seconds", "expected"), [(0.1, 0.25), (4.8, 0.25), (48.0, 1.0), (1e6, 1.5)])
def test_small_jobs_have_small_bundles(job_seconds: float, expected: float) -> None:
    assert bundle_seconds(job_seconds, 1.5) == pytest.approx(expected)


def test_longest_bundle_wins_over_the_shortest() -> None:
    assert bundle_seconds(0.0, 0.01) == 0.01


def test_window_grows_with_the_workers() -> None:
    assert [publish_window(slots) for slots in (0, 1, 2, 3, 50)] == [4, 4, 4, 6, 100]
