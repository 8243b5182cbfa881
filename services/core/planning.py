"""Planning: a job into tasks, tasks into bundles, and how long they may take. Pure functions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from services.core.covariance import Covariance
from services.core.jobs import Job, JobSpec
from services.core.tasks import WHOLE, Bundle, Part, TaskKey

__all__ = [
    "MAX_BUNDLE_TASKS",
    "MAX_JOB_PARTS",
    "MAX_TASK_PARTS",
    "bundle_seconds",
    "bundle_tasks",
    "estimate_job_seconds",
    "estimate_task_seconds",
    "plan_parts",
    "plan_tasks",
    "publish_window",
    "task_parts",
    "task_seed",
]

MAX_BUNDLE_TASKS = 256
MAX_TASK_PARTS = 64
# All parts of a job are stored at once. A job of more tasks than this keeps every worker busy without parts.
MAX_JOB_PARTS = 40_000

# One core runs about this many multiply-adds a second in the assignment step. It only sizes bundles and
# estimates; a machine twice as fast is told a time twice too long, and nothing else changes.
_OPERATIONS_PER_SECOND = 4e9
_TASK_OVERHEAD_SECONDS = 2e-4
_MIN_BUNDLES_PER_JOB = 48
# Claiming a bundle and writing its results costs some round trips and flushes to disk, however small it is.
_MIN_BUNDLE_SECONDS = 0.25


def plan_tasks(job: Job) -> Iterator[TaskKey]:
    """Every task of a job: (experiment, k, covariance), the first experiment first.

    A watcher therefore sees one whole score curve early, and more experiments narrow it.
    """
    for experiment in range(job.spec.n_experiments):
        for k in range(1, job.spec.max_k + 1):
            for covariance in job.spec.covariances:
                yield TaskKey(job.id, experiment, k, covariance)


def task_parts(
    spec: JobSpec, n: int, k: int, covariance: Covariance, longest_seconds: float
) -> tuple[Part, ...]:
    """The parts of a task in order, or (WHOLE,) when it is best run in one go; n rows.

    As many parts as bring each to about `longest_seconds` on one core, with equally many starts up to
    one; at most MAX_TASK_PARTS, and for all tasks of the job together at most about MAX_JOB_PARTS.
    """
    seconds = estimate_task_seconds(
        n, len(spec.columns), k, covariance, n_init=spec.n_init, max_iter=spec.max_iter
    )
    most = min(MAX_TASK_PARTS, spec.n_init, MAX_JOB_PARTS // max(1, spec.n_tasks))
    n_parts = min(most, math.ceil(seconds / longest_seconds))
    if n_parts <= 1:
        return (WHOLE,)
    bounds = [spec.n_init * i // n_parts for i in range(n_parts + 1)]
    return tuple(Part(first, last - first) for first, last in itertools.pairwise(bounds))


def plan_parts(job: Job, longest_seconds: float) -> Iterator[TaskKey]:
    """What workers run of a job, in the order of `plan_tasks`: its tasks, the long ones in parts."""
    parts: dict[tuple[int, Covariance], tuple[Part, ...]] = {}
    for key in plan_tasks(job):
        cost = (key.k, key.covariance)
        if cost not in parts:
            parts[cost] = task_parts(job.spec, job.row_count, *cost, longest_seconds)
        for part in parts[cost]:
            yield replace(key, part=part)


def task_seed(seed: int, key: TaskKey) -> np.random.SeedSequence:
    """The random stream of a task, and of its parts: from (job seed, experiment, k, covariance) alone."""
    return np.random.SeedSequence(seed, spawn_key=(key.experiment, key.k, key.covariance.stream))


def estimate_task_seconds(
    n: int, d: int, k: int, covariance: Covariance, *, n_init: int, max_iter: int
) -> float:
    """Rough compute time of one task on one core, in seconds.

    Multiply-adds of one start: iterations * n * K * (one distance), the distance costing d(d+1)/2 + d
    for full-untied and d for every model whose metric is a diagonal or is shared (whitened once).
    """
    per_distance = d * (d + 3) / 2 if covariance is Covariance.FULL_UNTIED else d + 1
    iterations = min(max_iter, 5 + k)
    operations = n_init * iterations * n * (k * (per_distance + 3) + d * d)
    return _TASK_OVERHEAD_SECONDS + operations / _OPERATIONS_PER_SECOND


def estimate_job_seconds(spec: JobSpec, n: int) -> float:
    """Rough compute time of all tasks of a job on one core, in seconds; n rows."""
    return spec.n_experiments * sum(
        estimate_task_seconds(n, len(spec.columns), k, covariance, n_init=spec.n_init, max_iter=spec.max_iter)
        for k in range(1, spec.max_k + 1)
        for covariance in spec.covariances
    )


def bundle_seconds(job_seconds: float, longest_seconds: float) -> float:
    """How much work one bundle of a job should hold, in seconds.

    At most `longest_seconds`; less for a small job, so that it still spreads over many workers and its
    progress moves.
    """
    return min(longest_seconds, max(_MIN_BUNDLE_SECONDS, job_seconds / _MIN_BUNDLES_PER_JOB))


def bundle_tasks(
    keys: Iterable[TaskKey], seconds_of: Callable[[TaskKey], float], target_seconds: float
) -> Iterator[Bundle]:
    """Group tasks of one job, in order, into bundles of about `target_seconds` of work each."""
    group: list[TaskKey] = []
    total = 0.0
    for key in keys:
        seconds = seconds_of(key)
        if group and (total + seconds > target_seconds or len(group) >= MAX_BUNDLE_TASKS):
            yield Bundle(group[0].job_id, tuple(group))
            group, total = [], 0.0
        group.append(key)
        total += seconds
    if group:
        yield Bundle(group[0].job_id, tuple(group))


def publish_window(slots: int) -> int:
    """How many bundles of one job may be out at once, for this many worker slots.

    Twice the slots keeps every worker busy between two looks of the scheduler; a small window keeps a
    huge job from standing in front of the next small one.
    """
    return max(4, 2 * slots)
