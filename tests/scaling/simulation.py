"""A simulation of many workers: the policy that ships, and a broker and a store that have their limits.

Bundles flow like a liquid, second by second; the autoscaler looks as often as the real one. Every job
publishes within the window that the real scheduler keeps, so the autoscaler sees no more of a queue than it
would. Simplified: what is scaled down goes at once, and jobs are worked off one after the other.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from services.core.planning import MAX_BUNDLE_TASKS, publish_window
from tests.scaling.policy import History, ScalingPolicy, decide

__all__ = ["Outcome", "Site", "simulate"]

_LONGEST_SECONDS = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Site:
    """What there is to do, and with what.

    Attributes:
        tasks: queued at the start, in so many `jobs` of equal size.
        task_seconds: of one task on one processor.
        slots: of each worker.
        start_seconds: from the decision for a worker until it works (a node, an image, a start).
        bundle_seconds: work in one message.
        store_results_per_second: task results that the job store takes.
        broker_bundles_per_second: bundles that the broker takes, confirmed.
    """

    tasks: int = 1_000_000
    jobs: int = 1_000
    task_seconds: float = 1.5
    slots: int = 2
    start_seconds: float = 30.0
    bundle_seconds: float = 1.5
    store_results_per_second: float = 75.0
    broker_bundles_per_second: float = 6_300.0

    @property
    def bundle_tasks(self) -> float:
        """Tasks in one bundle."""
        return min(float(MAX_BUNDLE_TASKS), max(1.0, self.bundle_seconds / self.task_seconds))

    @property
    def useful_workers(self) -> float:
        """How many workers bring the broker or the store to its limit; more of them only wait."""
        return self.highest_rate * self.task_seconds / self.slots

    @property
    def highest_rate(self) -> float:
        """Tasks a second that broker and store take, whatever the number of workers."""
        return min(self.store_results_per_second, self.broker_bundles_per_second * self.bundle_tasks)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went.

    Attributes:
        drain_seconds: until the last task has ended.
        released_seconds: until the last worker is gone.
        most_workers: at once.
        worker_seconds: paid, from the decision for a worker to its end.
        useful_share: of these, in which a slot computed.
        bound_by: what was in the way most of the time: `workers`, `store` or `broker`.
    """

    drain_seconds: float
    released_seconds: float
    most_workers: int
    worker_seconds: float
    useful_share: float
    bound_by: str


def simulate(policy: ScalingPolicy, site: Site, *, max_workers: int | None = None) -> Outcome:
    """Run until all is done and nobody is left; `max_workers` in place of the policy's own bound."""
    if max_workers is not None:
        policy = replace(policy, max_replicas=max_workers)
    history = History()
    coming: deque[tuple[float, int]] = deque()
    left, wanted, working, now, drained = float(site.tasks), 0, 0, 0.0, 0.0
    most, paid, next_look = 0, 0.0, 0.0
    bounds = {"workers": 0, "store": 0, "broker": 0}
    while left > 0 or wanted:
        if now > _LONGEST_SECONDS:
            raise RuntimeError("The simulation does not come to an end: no worker comes, or none goes.")
        while coming and coming[0][0] <= now:
            working += coming.popleft()[1]
        if now >= next_look:
            before = wanted
            wanted, history = decide(policy, history, now, _outstanding(site, left, working), wanted)
            next_look += policy.pause_seconds(wanted)
            if wanted > before:
                coming.append((now + site.start_seconds, wanted - before))
            surplus = working + sum(count for _, count in coming) - wanted
            # The youngest go first: those that have not come yet.
            while surplus > 0 and coming:
                at, count = coming.pop()
                if count > surplus:
                    coming.append((at, count - surplus))
                surplus -= min(count, surplus)
            working -= max(0, surplus)
            most = max(most, wanted)
        rates = {
            "workers": working * site.slots / site.task_seconds,
            "store": site.store_results_per_second,
            "broker": site.broker_bundles_per_second * site.bundle_tasks,
        }
        bound = min(rates, key=lambda name: rates[name])
        if left > 0:
            bounds[bound] += 1
            left = max(0.0, left - rates[bound])
            drained = now + 1.0
        paid += wanted
        now += 1.0
    return Outcome(
        drain_seconds=drained,
        released_seconds=now,
        most_workers=most,
        worker_seconds=paid,
        useful_share=site.tasks * site.task_seconds / site.slots / paid,
        bound_by=max(bounds, key=lambda name: bounds[name]),
    )


def _outstanding(site: Site, left: float, working: int) -> float:
    """Bundles that are ready or being worked on: of each job what its window lets out."""
    window = publish_window(working * site.slots)
    jobs = min(float(site.jobs), max(1.0, left / max(1.0, site.tasks / site.jobs))) if left > 0 else 0.0
    return min(left / site.bundle_tasks, jobs * window)
