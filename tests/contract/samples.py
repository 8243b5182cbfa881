"""Values that the suites put into stores and queues."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any, TypeVar

import numpy as np

from services.core.covariance import Assignment, Covariance
from services.core.datasets import (
    Column,
    ColumnKind,
    ColumnRole,
    ColumnStatistics,
    Correlation,
    Dataset,
    TableFormat,
)
from services.core.jobs import Job, JobSpec
from services.core.models import FittedModel
from services.core.ports import Store
from services.core.tasks import Part, TaskKey, TaskOutcome, TaskResult, TaskState

T = TypeVar("T")

NOW = datetime(2026, 3, 1, 12, 0, 0, 123000, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
LONG = 600.0  # seconds nobody should have to wait: a test that does is stopped by its time limit

_numbers = itertools.count()
_process = secrets.token_hex(4)


def fresh_id() -> str:
    """Another one at every call, in every process; those of one process in order."""
    return f"{_process}{next(_numbers):08x}"


def make_dataset(created_at: datetime = NOW, **fields: Any) -> Dataset:
    columns = (
        Column(
            "depth (m)",
            ColumnKind.NUMERIC,
            ColumnRole.FEATURE,
            2,
            ColumnStatistics(-0.0, 1e308, 0.1 + 0.2, 5e-324),
        ),
        Column("soil 'type', \N{MICRO SIGN}", ColumnKind.TEXT, ColumnRole.FEATURE, 0, None, 7, "clay"),
    )
    dataset = Dataset(
        id=fresh_id(),
        owner="ann",
        display_name="survey.csv",
        format=TableFormat.CSV,
        size_bytes=1 << 30,
        sha256="ab" * 32,
        row_count=12345,
        columns=columns,
        correlation=Correlation(("depth (m)",), (1.0,), 12343),
        created_at=created_at,
    )
    return replace(dataset, **fields)


def make_job(dataset: Dataset, created_at: datetime = NOW, **fields: Any) -> Job:
    job = Job(
        id=fresh_id(),
        owner=dataset.owner,
        display_name="first try",
        spec=JobSpec(dataset.id, ("depth (m)", "ph"), max_k=3, n_experiments=2, seed=2**63 - 1),
        row_count=12000,
        skipped_row_count=345,
        created_at=created_at,
    )
    return replace(job, **fields)


def make_keys(
    job: Job,
    n: int = 6,
    covariances: Sequence[Covariance] = (Covariance.FULL_UNTIED, Covariance.SPHER_TIED),
) -> tuple[TaskKey, ...]:
    """The first n tasks, in the order of their keys."""
    every = (
        TaskKey(job.id, experiment, k, covariance)
        for experiment in itertools.count()
        for k in range(1, 4)
        for covariance in sorted(covariances)
    )
    return tuple(itertools.islice(every, n))


def start_job(store: Store, n: int = 6, **fields: Any) -> tuple[Job, tuple[TaskKey, ...]]:
    """A RUNNING job with n PENDING tasks."""
    job = make_job(store.insert_dataset(make_dataset()), **fields)
    store.insert_job(job)
    keys = make_keys(job, n)
    return store.start_job(job.id, keys, NOW), keys


def start_job_in_parts(store: Store, *n_parts: int) -> tuple[Job, tuple[TaskKey, ...], tuple[TaskKey, ...]]:
    """A RUNNING job of tasks with so many parts each (1: none), its tasks, and what is run of it."""
    job = store.insert_job(make_job(store.insert_dataset(make_dataset())))
    tasks = make_keys(job, len(n_parts))
    units = tuple(
        task if count == 1 else replace(task, part=Part(7 * index, 7))
        for task, count in zip(tasks, n_parts, strict=True)
        for index in range(count)
    )
    return store.start_job(job.id, units, NOW), tasks, units


def make_result(bic: float = -4381.524083, **fields: Any) -> TaskResult:
    result = TaskResult(
        log_likelihood=-2156.539346,
        bic=bic,
        aic=0.1 + 0.2,
        n_parameters=12,
        n_iter=17,
        converged=True,
        regularized=False,
        counts=(120, 100, 80),
        start=4,
    )
    return replace(result, **fields)


def make_model(seed: int = 0) -> FittedModel:
    numbers = np.random.default_rng(seed)
    return FittedModel(
        covariance=Covariance.FULL_UNTIED,
        assignment=Assignment.LIKELIHOOD,
        columns=("depth (m)", "ph"),
        offset=numbers.normal(size=2),
        scale=np.array([-0.0, 5e-324]),
        weights=np.array([0.75, 0.25]),
        centers=numbers.normal(size=(2, 2)),
        parameters=numbers.normal(size=(2, 2, 2)),
    )


def done(key: TaskKey, bic: float = -4381.524083, model: FittedModel | None = None) -> TaskOutcome:
    return TaskOutcome(key, TaskState.DONE, 0.25, make_result(bic), model or make_model())


def failed(key: TaskKey, error: str = "The kernel failed.") -> TaskOutcome:
    return TaskOutcome(key, TaskState.ERROR, 0.5, error=error)


def claim(store: Store, keys: Sequence[TaskKey], attempt_id: str) -> tuple[TaskKey, ...]:
    """Claim until LATER."""
    return store.claim_tasks(keys, attempt_id, LATER, NOW)


def complete(store: Store, keys: Sequence[TaskKey], attempt_id: str = "done") -> None:
    """Claim them and finish them as DONE."""
    assert claim(store, keys, attempt_id) == tuple(keys)
    assert store.finish_tasks(attempt_id, [done(key) for key in keys], NOW) == tuple(keys)


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Results of the calls, each in a thread of its own, begun together."""
    barrier = Barrier(len(calls))

    def begin(call: Callable[[], T]) -> T:
        barrier.wait(60)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(begin, calls))
