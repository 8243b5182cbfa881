"""Decisions of the scheduler, as pure functions: what counts as lost, and how much to publish now."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from services.core.covariance import Covariance
from services.core.jobs import JobSpec
from services.core.planning import (
    bundle_seconds,
    bundle_tasks,
    estimate_job_seconds,
    estimate_task_seconds,
    publish_window,
)
from services.core.tasks import Bundle, TaskKey

__all__ = ["JobCosts", "choose_bundles", "free_bundles", "job_costs", "lost_before", "turn_bundles"]


@dataclass(frozen=True, slots=True)
class JobCosts:
    """What the tasks of a job are thought to cost, in seconds on one core.

    Attributes:
        task_seconds: by (k, covariance); every experiment costs the same.
        cumulative_seconds: entry i is the cost of the first i tasks of one experiment, in plan order.
        bundle_seconds: work that one bundle of this job should hold.
    """

    task_seconds: Mapping[tuple[int, Covariance], float]
    cumulative_seconds: tuple[float, ...]
    bundle_seconds: float

    def of(self, key: TaskKey) -> float:
        """Estimated compute time of one task, in seconds."""
        return self.task_seconds[key.k, key.covariance]

    def of_first(self, count: int) -> float:
        """Estimated compute time of the first `count` tasks of the job in plan order, in seconds."""
        experiments, rest = divmod(count, len(self.task_seconds))
        return experiments * self.cumulative_seconds[-1] + self.cumulative_seconds[rest]


@lru_cache(maxsize=256)
def job_costs(spec: JobSpec, n: int, longest_seconds: float) -> JobCosts:
    """Estimate every task of a job with n rows; its bundles hold at most about `longest_seconds`."""
    d = len(spec.columns)
    seconds = {
        (k, covariance): estimate_task_seconds(
            n, d, k, covariance, n_init=spec.n_init, max_iter=spec.max_iter
        )
        for k in range(1, spec.max_k + 1)
        for covariance in spec.covariances
    }
    return JobCosts(
        task_seconds=seconds,
        cumulative_seconds=tuple(itertools.accumulate(seconds.values(), initial=0.0)),
        bundle_seconds=bundle_seconds(estimate_job_seconds(spec, n), longest_seconds),
    )


def lost_before(
    now: datetime, republish_seconds: float, *, queue_started_at: datetime | None = None
) -> datetime:
    """The time before which a published task that nobody claimed counts as lost.

    A queue that lives in this process (`queue_started_at` given) began empty: whatever was published
    before it, went to a queue that is gone.
    """
    cutoff = now - timedelta(seconds=republish_seconds)
    return cutoff if queue_started_at is None else max(cutoff, queue_started_at)


def free_bundles(costs: JobCosts, *, slots: int, ended: int, outstanding: int) -> int:
    """How many more bundles of a job may be published now.

    The store counts tasks; the window is in bundles. Tasks are published and end in about plan order, so
    the outstanding ones are taken to be those behind the ended ones. Where that is wrong (a retry), the
    window is somewhat too large or small; it is never closed while fewer tasks than bundles are out.

    Args:
        slots: bundles that all workers can run at once.
        ended: tasks in a terminal state.
        outstanding: tasks that run, or are published and not lost.
    """
    seconds = costs.of_first(ended + outstanding) - costs.of_first(ended)
    outstanding_bundles = min(outstanding, math.ceil(seconds / costs.bundle_seconds))
    return max(0, publish_window(slots) - outstanding_bundles)


def turn_bundles(free: int, slots: int) -> int:
    """How many of a job's free bundles are published before it is the next job's turn.

    As many as run at once: jobs that are topped up together then alternate in the queue.
    """
    return min(free, max(2, slots))


def choose_bundles(costs: JobCosts, keys: Iterable[TaskKey], count: int) -> tuple[Bundle, ...]:
    """The first `count` bundles of these unpublished tasks."""
    return tuple(itertools.islice(bundle_tasks(keys, costs.of, costs.bundle_seconds), count))
