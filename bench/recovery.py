"""How often the recommended K is the true one, on generated mixtures of known, separated clusters.

    python -m bench.recovery [CASES]

Each case draws d from 2 to 5, K from 1 to 7 and one of the six covariance models for its clusters, places the
centers so that any two are at least `SEPARATION` pooled standard deviations apart in Mahalanobis distance,
and draws 150 to 400 rows per cluster. A job's tasks are then planned, fitted and reported as the service
does it, with the defaults but two experiments instead of ten.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

import ckernel
from services.core.covariance import Covariance
from services.core.jobs import Job, JobSpec, JobState
from services.core.planning import plan_tasks, task_seed
from services.core.reporting import DEFAULT_MIN_MEMBERS, build_report
from services.core.tasks import Task, TaskKey, TaskResult, TaskState

__all__ = ["Mixture", "draw_mixture", "recommend"]

SEPARATION = 7.0


@dataclass(frozen=True, slots=True)
class Mixture:
    """Rows (n, d) drawn from `k` Gaussian clusters under one covariance model."""

    data: NDArray[np.float64]
    k: int
    covariance: Covariance


def draw_mixture(seed: int) -> Mixture:
    """The mixture of this seed; the same seed, the same rows."""
    rng = np.random.default_rng([seed, 20260101])
    d, k = int(rng.integers(2, 6)), int(rng.integers(1, 8))
    covariance = list(Covariance)[int(rng.integers(6))]
    shape, sharing = covariance.split("-")
    spreads = [_spread(rng, d, shape) for _ in range(1 if sharing == "tied" else k)]
    covariances = [spreads[label % len(spreads)] for label in range(k)]
    width = 4.0
    while True:
        centers = rng.uniform(-width, width, (k, d))
        if all(
            _distance(centers[a] - centers[b], covariances[a] + covariances[b]) >= SEPARATION
            for a, b in combinations(range(k), 2)
        ):
            break
        width *= 1.02
    rows = [
        rng.multivariate_normal(center, cluster, int(rng.integers(150, 401)))
        for center, cluster in zip(centers, covariances, strict=True)
    ]
    return Mixture(np.concatenate(rows), k, covariance)


def recommend(mixture: Mixture, max_k: int = 10, n_experiments: int = 2) -> Task | None:
    """The task that the service would recommend for these rows, scaled, with the default starts."""
    data = (mixture.data - mixture.data.mean(axis=0)) / mixture.data.std(axis=0)
    columns = tuple(f"x{i}" for i in range(data.shape[1]))
    spec = JobSpec("generated", columns, max_k=max_k, n_experiments=n_experiments)
    job = Job("generated", "", "", spec, len(data), 0, datetime.now(UTC), JobState.SUCCEEDED)
    tasks = [_fit(data, spec, key) for key in plan_tasks(job)]
    return build_report(job, tasks, DEFAULT_MIN_MEMBERS).best


def _fit(data: NDArray[np.float64], spec: JobSpec, key: TaskKey) -> Task:
    fit = ckernel.fit(
        data,
        key.k,
        key.covariance.value,
        assignment=spec.assignment.value,
        n_init=spec.n_init,
        max_iter=spec.max_iter,
        seed=task_seed(spec.seed, key),
    )
    result = TaskResult(
        fit.log_likelihood,
        fit.bic,
        fit.aic,
        fit.n_parameters,
        fit.n_iter,
        fit.converged,
        fit.regularized,
        tuple(int(count) for count in fit.counts),
        fit.start,
    )
    return Task(key, TaskState.DEGENERATE if fit.degenerate else TaskState.DONE, result=result)


def _spread(rng: np.random.Generator, d: int, shape: str) -> NDArray[np.float64]:
    if shape == "spher":
        return np.eye(d) * rng.uniform(0.3, 2.0) ** 2
    scales = rng.uniform(0.4, 1.6, d)
    if shape == "diag":
        return np.diag(scales**2)
    rotation, _ = np.linalg.qr(rng.normal(size=(d, d)))
    matrix: NDArray[np.float64] = rotation @ np.diag(scales**2) @ rotation.T
    return matrix


def _distance(difference: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    return float(np.sqrt(difference @ np.linalg.solve(covariance / 2, difference)))


def _verdicts(cases: int) -> Iterator[tuple[int, Mixture, Task | None]]:
    def verdict(seed: int) -> tuple[int, Mixture, Task | None]:
        mixture = draw_mixture(seed)
        return seed, mixture, recommend(mixture)

    with ThreadPoolExecutor() as pool:
        yield from pool.map(verdict, range(cases))


def main(cases: int = 100) -> int:
    """Print each miss and the share of hits; return the hits."""
    hits = 0
    for seed, mixture, task in _verdicts(cases):
        if task is not None and task.key.k == mixture.k:
            hits += 1
        else:
            found = "nothing" if task is None else f"K = {task.key.k}, {task.key.covariance}"
            print(f"case {seed}: true K = {mixture.k}, {mixture.covariance}; recommended {found}")
    print(f"recommended the true K in {hits} of {cases} cases")
    return hits


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
