"""Decisions of the scheduler, as pure functions: what counts as lost, and how much to publish now."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Set
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
    task_parts,
)
from services.core.tasks import Bundle, TaskKey

__all__ = [
    "JobCosts",
    "bundles_of",
    "choose_bundles",
    "free_bundles",
    "is_crowded",
    "job_costs",
    "lost_before",
    "turn_bundles",
]


@dataclass(frozen=True, slots=True)
class JobCosts:
    """What the tasks of a job are thought to cost, in seconds on one core.

    Attributes:
        task_seconds: by (k, covariance); every experiment costs the same.
        cumulative_parts: entry i is how many parts the first i tasks of one experiment have in plan
            order; a task that is run in one go counts as one.
        cumulative_seconds: entry i is the cost of the first i such parts.
        bundle_seconds: work that one bundle of this job should hold.
        n_init: starts of a task.
    """

    task_seconds: Mapping[tuple[int, Covariance], float]
    cumulative_parts: tuple[int, ...]
    cumulative_seconds: tuple[float, ...]
    bundle_seconds: float
    n_init: int

    def of(self, key: TaskKey) -> float:
        """Estimated compute time of one task or part, in seconds."""
        seconds = self.task_seconds[key.k, key.covariance]
        return seconds * key.part.n_starts / self.n_init if key.is_part else seconds

    def of_first(self, n_parts: int) -> float:
        """Estimated compute time of the first `n_parts` parts of the job in plan order, in seconds."""
        experiments, rest = divmod(n_parts, len(self.cumulative_seconds) - 1)
        return experiments * self.cumulative_seconds[-1] + self.cumulative_seconds[rest]

    def parts_of_first(self, n_tasks: int) -> int:
        """How many parts the first `n_tasks` tasks of the job have, in plan order."""
        experiments, rest = divmod(n_tasks, len(self.cumulative_parts) - 1)
        return experiments * self.cumulative_parts[-1] + self.cumulative_parts[rest]


@lru_cache(maxsize=256)
def job_costs(spec: JobSpec, n: int, longest_seconds: float, part_seconds: float) -> JobCosts:
    """Estimate every task of a job with n rows, and its parts of at most about `part_seconds`.

    Its bundles hold at most about `longest_seconds`.
    """
    d = len(spec.columns)
    seconds = {
        (k, covariance): estimate_task_seconds(
            n, d, k, covariance, n_init=spec.n_init, max_iter=spec.max_iter
        )
        for k in range(1, spec.max_k + 1)
        for covariance in spec.covariances
    }
    counts = {cost: len(task_parts(spec, n, *cost, part_seconds)) for cost in seconds}
    parts = (seconds[cost] / count for cost, count in counts.items() for _ in range(count))
    return JobCosts(
        task_seconds=seconds,
        cumulative_parts=tuple(itertools.accumulate(counts.values(), initial=0)),
        cumulative_seconds=tuple(itertools.accumulate(parts, initial=0.0)),
        bundle_seconds=bundle_seconds(estimate_job_seconds(spec, n), longest_seconds),
        n_init=spec.n_init,
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


def is_crowded(waiting: int, slots: int, jobs: int) -> bool:
    """Whether so many bundles wait in the queue that copies would only make the line longer.

    Of each job a window is out at most. Where twice as many wait, they wait for workers, however long, and
    nothing is published again until some of them were taken. With fewer, a copy too many is harmless, and one
    too few would be a bundle that was lost for good.
    """
    return waiting >= 2 * jobs * publish_window(slots)


def bundles_of(costs: JobCosts, *, before: int, count: int) -> int:
    """In about how many bundles so many tasks and parts of a job travel, that have so many tasks before them.

    The store counts tasks and parts; the window is in bundles. They are published, begun and ended in about
    plan order. Where that is wrong (a retry), the answer is somewhat too large or small.
    """
    first = costs.parts_of_first(before)
    seconds = costs.of_first(first + count) - costs.of_first(first)
    return min(count, math.ceil(seconds / costs.bundle_seconds))


def free_bundles(costs: JobCosts, *, slots: int, ended: int, outstanding: int) -> int:
    """How many more bundles of a job may be published now.

    The window is never closed while fewer tasks are out than bundles may be.

    Args:
        slots: bundles that all workers can run at once.
        ended: tasks in a terminal state.
        outstanding: tasks and parts that run, or are published and not lost.
    """
    return max(0, publish_window(slots) - bundles_of(costs, before=ended, count=outstanding))


def turn_bundles(free: int, slots: int) -> int:
    """How many of a job's free bundles are published before it is the next job's turn.

    As many as run at once: jobs that are topped up together then alternate in the queue.
    """
    return min(free, max(2, slots))


def choose_bundles(
    costs: JobCosts, keys: Iterable[TaskKey], count: int, suspects: Set[TaskKey] = frozenset()
) -> tuple[Bundle, ...]:
    """The first `count` bundles of these unpublished tasks and parts; `suspects` travel and run alone."""

    def bundles() -> Iterator[Bundle]:
        for is_suspect, group in itertools.groupby(keys, suspects.__contains__):
            if is_suspect:
                yield from (Bundle(key.job_id, (key,), alone=True) for key in group)
            else:
                yield from bundle_tasks(group, costs.of, costs.bundle_seconds)

    return tuple(itertools.islice(bundles(), count))
