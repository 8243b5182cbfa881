"""Fitting: one task, or a part of one, from a matrix to its outcome. Pure computation."""

from __future__ import annotations

import time
from collections.abc import Callable

import ckernel
from services.core.jobs import JobSpec
from services.core.models import FittedModel
from services.core.planning import task_seed
from services.core.tasks import Part, TaskKey, TaskOutcome, TaskResult, TaskState
from services.tables import Matrix

__all__ = ["Fit", "failed", "fit_task", "out_of_memory"]

_MEBIBYTE = 1 << 20

# `ckernel.fit`, or a stand-in with its signature.
Fit = Callable[..., ckernel.Fit]


def fit_task(
    matrix: Matrix,
    spec: JobSpec,
    key: TaskKey,
    *,
    fit: Fit = ckernel.fit,
    timer: Callable[[], float] = time.perf_counter,
) -> TaskOutcome:
    """Fit one task, or a part of one, on one thread; the same arguments give the same bits.

    Args:
        matrix: the job's columns, (n, d), in the space they are clustered in.
        timer: gives seconds, for the outcome's `seconds`.

    Raises:
        ValueError: the kernel refuses the data; the message says why.
    """
    part = key.part if key.is_part else Part(0, spec.n_init)
    began = timer()
    fitted = fit(
        matrix.values,
        key.k,
        str(key.covariance),
        assignment=str(spec.assignment),
        n_init=part.n_starts,
        max_iter=spec.max_iter,
        seed=task_seed(spec.seed, key),
        threads=1,
        first_start=part.first_start,
    )
    seconds = timer() - began
    result = TaskResult(
        log_likelihood=float(fitted.log_likelihood),
        bic=float(fitted.bic),
        aic=float(fitted.aic),
        n_parameters=int(fitted.n_parameters),
        n_iter=int(fitted.n_iter),
        converged=bool(fitted.converged),
        regularized=bool(fitted.regularized),
        counts=tuple(int(count) for count in fitted.counts),
        start=int(fitted.start),
        diagnosis=str(fitted.diagnosis),
    )
    model = FittedModel(
        covariance=key.covariance,
        assignment=spec.assignment,
        columns=spec.columns,
        offset=matrix.offset,
        scale=matrix.spread,
        weights=fitted.model.weights,
        centers=fitted.model.centers,
        parameters=fitted.model.parameters,
    )
    state = TaskState.DEGENERATE if fitted.degenerate else TaskState.DONE
    return TaskOutcome(key, state, seconds, result, model)


def out_of_memory(n: int, d: int) -> str:
    """The sentence of a fit of (n, d) values that found no room."""
    mebibytes = max(1, round(n * d * 8 / _MEBIBYTE))
    return (
        f"a worker ran out of memory. A fit of {n:,} rows by {d} columns needs {mebibytes:,} MiB or more in "
        "each slot of a worker: give workers more memory, or fewer slots (KMEANS_WORKER_SLOTS), then retry."
    )


def failed(key: TaskKey, error: str, seconds: float = 0.0) -> TaskOutcome:
    """The outcome of a task that cannot be fitted, with the sentence that says why."""
    return TaskOutcome(key, TaskState.ERROR, seconds, error=error)
