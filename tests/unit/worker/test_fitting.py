from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import ckernel
from services.core.covariance import Assignment, Covariance
from services.core.jobs import JobSpec
from services.core.models import FittedModel
from services.core.parts import best_part
from services.core.planning import task_seed
from services.core.tasks import Part, Task, TaskKey, TaskState
from services.tables import Matrix
from services.worker.fitting import failed, fit_task, out_of_memory

SPEC = JobSpec("d", ("a", "b"), n_init=3, seed=11, assignment=Assignment.MAHALANOBIS, max_iter=50)


def matrix(n: int = 90) -> Matrix:
    random = np.random.default_rng(3)
    values = np.concatenate([random.normal(5 * c, 1, (n // 3, 2)) for c in range(3)])
    values.setflags(write=False)
    return Matrix(values, np.arange(n), n, np.array([1.0, 2.0]), np.array([3.0, 4.0]))


@pytest.mark.parametrize("covariance", list(Covariance))
def test_outcome_is_what_the_kernel_says(covariance: Covariance) -> None:
    data, key = matrix(), TaskKey("j", 2, 3, covariance)
    outcome = fit_task(data, SPEC, key, timer=iter([10.0, 12.5]).__next__)
    fit = ckernel.fit(
        data.values,
        3,
        covariance.value,
        assignment="mahalanobis",
        n_init=3,
        max_iter=50,
        seed=task_seed(11, key),
    )
    assert outcome.key == key
    assert outcome.state is (TaskState.DEGENERATE if fit.degenerate else TaskState.DONE)
    assert outcome.seconds == 2.5
    assert outcome.result is not None
    assert outcome.model is not None
    assert outcome.result.bic == fit.bic
    assert outcome.result.counts == tuple(fit.counts)
    assert sum(outcome.result.counts) == 90
    assert (outcome.result.start, outcome.result.n_iter) == (fit.start, fit.n_iter)
    np.testing.assert_array_equal(outcome.model.parameters, fit.model.parameters)
    np.testing.assert_array_equal(outcome.model.offset, data.offset)
    np.testing.assert_array_equal(outcome.model.scale, data.spread)
    assert (outcome.model.columns, outcome.model.assignment) == (("a", "b"), Assignment.MAHALANOBIS)


def test_stored_model_gives_the_labels_that_were_scored() -> None:
    data, key = matrix(), TaskKey("j", 0, 3, Covariance.FULL_UNTIED)
    outcome = fit_task(data, SPEC, key)
    assert outcome.model is not None
    assert outcome.result is not None
    model = FittedModel.from_bytes(outcome.model.to_bytes())
    labels = ckernel.assign(
        data.values,
        ckernel.Model("full-untied", "mahalanobis", model.weights, model.centers, model.parameters),
    )
    assert tuple(np.bincount(labels)) == outcome.result.counts


def test_values_are_plain_python_numbers() -> None:
    result = fit_task(matrix(), SPEC, TaskKey("j", 0, 2, Covariance.DIAG_TIED)).result
    assert result is not None
    types = {name: type(getattr(result, name)) for name in result.__dataclass_fields__}
    assert types == {
        "log_likelihood": float,
        "bic": float,
        "aic": float,
        "n_parameters": int,
        "n_iter": int,
        "converged": bool,
        "regularized": bool,
        "counts": tuple,
        "start": int,
        "diagnosis": str,
    }
    assert {type(count) for count in result.counts} == {int}


def test_degenerate_fit_keeps_its_diagnosis() -> None:
    values = np.zeros((10, 2))
    data = Matrix(values, np.arange(10), 10, np.zeros(2), np.ones(2))
    outcome = fit_task(data, SPEC, TaskKey("j", 0, 1, Covariance.SPHER_TIED))
    assert outcome.state is TaskState.DEGENERATE
    assert outcome.result is not None
    assert outcome.result.diagnosis == "All rows are the same point."
    assert outcome.model is not None


@pytest.mark.parametrize("covariance", list(Covariance))
def test_best_of_the_parts_is_the_outcome_of_the_task(covariance: Covariance) -> None:
    spec, key = replace(SPEC, n_init=7), TaskKey("j", 2, 4, covariance)
    whole = fit_task(matrix(), spec, key)
    outcomes = [
        fit_task(matrix(), spec, replace(key, part=part)) for part in (Part(0, 3), Part(3, 1), Part(4, 3))
    ]
    best = best_part([Task(found.key, found.state, result=found.result) for found in outcomes])
    assert (best.state, best.result) == (whole.state, whole.result)
    model = next(found.model for found in outcomes if found.key == best.key)
    assert model is not None
    assert whole.model is not None
    assert model.to_bytes() == whole.model.to_bytes()


def test_kernel_runs_on_one_thread() -> None:
    seen: dict[str, Any] = {}

    def fit(*arguments: Any, **options: Any) -> ckernel.Fit:
        seen.update(options)
        return ckernel.fit(*arguments, **options)

    fit_task(matrix(), SPEC, TaskKey("j", 0, 1, Covariance.SPHER_TIED), fit=fit)
    assert seen["threads"] == 1


def test_refusal_of_the_kernel_is_passed_on() -> None:
    with pytest.raises(ValueError, match="at least as many rows as clusters"):
        fit_task(matrix(3), SPEC, TaskKey("j", 0, 4, Covariance.SPHER_TIED))


def test_failed_task_has_a_sentence_and_nothing_else() -> None:
    outcome = failed(TaskKey("j", 0, 4, Covariance.SPHER_TIED), "Too few rows.")
    assert (outcome.state, outcome.error, outcome.result, outcome.model) == (
        TaskState.ERROR,
        "Too few rows.",
        None,
        None,
    )


def test_the_sentence_of_a_want_of_memory_says_how_much_is_needed() -> None:
    assert "1,000,000 rows by 256 columns needs 1,953 MiB" in out_of_memory(1_000_000, 256)
    assert "needs 1 MiB" in out_of_memory(30, 1)
