"""How many workers there should be, as KEDA and the HorizontalPodAutoscaler decide it. Pure functions.

Sources, in their own words where a number matters:

- https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/: "Algorithm details" (the ratio,
  the tolerance of 0.1) and "Configurable scaling behavior" (windows, policies, selectPolicy);
- kubernetes/pkg/controller/podautoscaler/horizontal.go for the order: recommend, stabilise, limit the rate;
- https://keda.sh/docs/latest/concepts/scaling-deployments/ and .../reference/scaledobject-spec/: KEDA itself
  goes from none to one while the metric is above `activationValue`, and back after `cooldownPeriod` of none;
  in between it feeds an HPA, whose smallest number is then one. It looks every `pollingInterval`, the HPA
  every 15 s.

Not modelled: that RabbitMQ's management does not answer, nor a `fallback` for that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

__all__ = ["HPA_SYNC_SECONDS", "Behaviour", "History", "Rate", "ScalingPolicy", "decide", "recommend"]

TOLERANCE = 0.1
HPA_SYNC_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `value` pods, or `value` percent of them, within `period_seconds`."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_seconds: float


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One direction: the safest recommendation of the window, then the fastest (Max) or slowest rate."""

    window_seconds: float
    rates: tuple[Rate, ...]
    select: Literal["Max", "Min", "Disabled"] = "Max"


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """What a ScaledObject with one trigger of metric type AverageValue says.

    Attributes:
        target: metric per worker.
        activation: KEDA keeps none at or below this metric.
        polling_seconds: pause between two looks of KEDA.
        sync_seconds: pause between two looks of the HPA.
    """

    target: float
    activation: float
    min_replicas: int
    max_replicas: int
    cooldown_seconds: float
    up: Behaviour
    down: Behaviour
    polling_seconds: float
    sync_seconds: float = HPA_SYNC_SECONDS

    def pause_seconds(self, replicas: int) -> float:
        """Until the next look: of KEDA where there are none, of the HPA otherwise."""
        return self.sync_seconds if replicas else self.polling_seconds

    def faster(self, factor: float) -> ScalingPolicy:
        """The same decisions in a world where every second takes 1 / factor."""

        def behaviour(slow: Behaviour) -> Behaviour:
            rates = tuple(replace(rate, period_seconds=rate.period_seconds / factor) for rate in slow.rates)
            return replace(slow, window_seconds=slow.window_seconds / factor, rates=rates)

        return replace(
            self,
            cooldown_seconds=self.cooldown_seconds / factor,
            polling_seconds=self.polling_seconds / factor,
            sync_seconds=self.sync_seconds / factor,
            up=behaviour(self.up),
            down=behaviour(self.down),
        )


@dataclass(frozen=True, slots=True)
class History:
    """What earlier decisions left behind.

    Attributes:
        recommendations: (when, how many) before stabilisation.
        changes: (when, how many more or, below zero, fewer) that were carried out.
        active_at: when there last was something to do.
    """

    recommendations: tuple[tuple[float, int], ...] = ()
    changes: tuple[tuple[float, int], ...] = ()
    active_at: float = field(default=-math.inf)


def recommend(metric: float, target: float, replicas: int) -> int:
    """ceil(metric / target), unless that is within the tolerance of what there is."""
    if replicas and abs(metric / (target * replicas) - 1.0) <= TOLERANCE:
        return replicas
    return math.ceil(metric / target)


def decide(
    policy: ScalingPolicy, history: History, now: float, metric: float, replicas: int
) -> tuple[int, History]:
    """How many workers from now on, and the history with this decision."""
    is_active = metric > policy.activation
    if is_active:
        history = replace(history, active_at=now)
    if replicas == 0:
        wanted = max(policy.min_replicas, 1) if is_active else policy.min_replicas
        return wanted, _changed(policy, replace(history, recommendations=()), now, wanted)
    if not is_active and policy.min_replicas == 0 and now - history.active_at >= policy.cooldown_seconds:
        return 0, _changed(policy, replace(history, recommendations=()), now, -replicas)
    recommended = recommend(metric, policy.target, replicas)
    history = _recommended(policy, history, now, recommended)
    stable = _stabilised(policy, history, now, replicas)
    lowest, highest = max(policy.min_replicas, 1), policy.max_replicas
    if stable > replicas:
        highest = min(highest, max(replicas, _limit(policy.up, history, now, replicas, +1)))
    elif stable < replicas:
        lowest = max(lowest, min(replicas, _limit(policy.down, history, now, replicas, -1)))
    wanted = max(lowest, min(highest, stable))
    return wanted, _changed(policy, history, now, wanted - replicas)


def _stabilised(policy: ScalingPolicy, history: History, now: float, replicas: int) -> int:
    """Up to the least of the up window, down to the most of the down window; otherwise as it is."""
    newest = history.recommendations[-1][1]

    def within(seconds: float) -> list[int]:
        return [newest, *(count for at, count in history.recommendations if at > now - seconds)]

    return min(max(replicas, min(within(policy.up.window_seconds))), max(within(policy.down.window_seconds)))


def _limit(behaviour: Behaviour, history: History, now: float, replicas: int, sign: int) -> int:
    """The furthest that the rates allow; each counts from what there was at the start of its period."""
    if behaviour.select == "Disabled":
        return replicas
    limits = [
        _allowed(rate, replicas - _sum_since(history.changes, now - rate.period_seconds), sign)
        for rate in behaviour.rates
    ]
    furthest: Callable[[Sequence[int]], int] = max if (sign > 0) == (behaviour.select == "Max") else min
    return furthest(limits)


def _allowed(rate: Rate, at_start: int, sign: int) -> int:
    if rate.kind == "Pods":
        return at_start + sign * rate.value
    changed = at_start * (1.0 + sign * rate.value / 100.0)
    return math.ceil(changed) if sign > 0 else int(changed)


def _sum_since(changes: Sequence[tuple[float, int]], cutoff: float) -> int:
    return sum(change for at, change in changes if at > cutoff)


def _recommended(policy: ScalingPolicy, history: History, now: float, count: int) -> History:
    longest = max(policy.up.window_seconds, policy.down.window_seconds)
    kept = tuple(each for each in history.recommendations if each[0] > now - longest)
    return replace(history, recommendations=(*kept, (now, count)))


def _changed(policy: ScalingPolicy, history: History, now: float, change: int) -> History:
    longest = max(rate.period_seconds for rate in (*policy.up.rates, *policy.down.rates))
    kept = tuple(each for each in history.changes if each[0] > now - longest)
    return replace(history, changes=(*kept, (now, change)) if change else kept)
