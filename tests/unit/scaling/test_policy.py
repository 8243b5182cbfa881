"""The decisions of KEDA and the HPA, checked against their documentation by examples worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.core.planning import publish_window
from tests.scaling.manifest import shipped_policy, shipped_slots
from tests.scaling.policy import Behaviour, History, Rate, ScalingPolicy, decide, recommend

POLICY = ScalingPolicy(
    target=2.0,
    activation=0.0,
    min_replicas=0,
    max_replicas=50,
    cooldown_seconds=300.0,
    up=Behaviour(0.0, (Rate("Percent", 100, 15.0), Rate("Pods", 4, 15.0))),
    down=Behaviour(180.0, (Rate("Percent", 50, 60.0), Rate("Pods", 2, 60.0))),
    polling_seconds=10.0,
)


@pytest.fixture(scope="module")
def shipped() -> ScalingPolicy:
    return shipped_policy()


def run(policy: ScalingPolicy, looks: list[tuple[float, float]], replicas: int = 0) -> list[int]:
    """What is decided at each (time, metric)."""
    history, decided = History(), []
    for now, metric in looks:
        replicas, history = decide(policy, history, now, metric, replicas)
        decided.append(replicas)
    return decided


@pytest.mark.parametrize(
    ("metric", "replicas", "expected"),
    [
        (100, 50, 50),
        (109, 50, 50),  # a ratio of 1.09 is within the tolerance
        (111, 50, 56),
        (91, 50, 50),
        (89, 50, 45),
        (1, 3, 1),
        (0, 3, 0),
        (7, 0, 4),
    ],
)
def test_a_recommendation_is_the_metric_over_the_target(metric: float, replicas: int, expected: int) -> None:
    assert recommend(metric, 2.0, replicas) == expected


def test_from_none_keda_starts_one_and_only_for_work() -> None:
    assert run(POLICY, [(0, 0), (15, 1000)]) == [0, 1]
    assert run(replace(POLICY, activation=5.0), [(0, 5), (15, 6)]) == [0, 1]


def test_keda_looks_for_the_first_work_and_the_hpa_from_then_on() -> None:
    assert POLICY.pause_seconds(0) == 10.0
    assert POLICY.pause_seconds(1) == POLICY.pause_seconds(50) == 15.0
    assert POLICY.faster(10.0).pause_seconds(0) == 1.0


def test_upwards_the_faster_of_four_more_and_twice_as_many() -> None:
    looks = [(15.0 * step, 1000.0) for step in range(6)]
    assert run(POLICY, looks) == [1, 5, 10, 20, 40, 50]


def test_a_rate_counts_what_was_changed_within_its_period() -> None:
    assert run(POLICY, [(0, 1000), (15, 1000), (20, 1000)], replicas=1) == [5, 10, 10]


def test_downwards_only_what_the_whole_window_recommends_and_half_a_minute_at_most() -> None:
    looks = [
        (0.0, 80.0),
        (15.0, 10.0),
        (179.0, 10.0),
        (181.0, 10.0),
        (200.0, 10.0),
        (242.0, 10.0),
        (303.0, 10.0),
    ]
    assert run(POLICY, looks, replicas=40) == [40, 40, 40, 20, 20, 10, 5]


def test_to_none_only_after_the_cooldown_without_any_work() -> None:
    looks = [(0.0, 2.0), (100.0, 0.0), (299.0, 0.0), (300.0, 0.0)]
    assert run(POLICY, looks, replicas=1) == [1, 1, 1, 0]
    assert run(POLICY, [(0.0, 2.0), (200.0, 1.0), (400.0, 0.0), (500.0, 0.0)], replicas=1) == [1, 1, 1, 0]
    kept = replace(POLICY, min_replicas=2)
    assert run(kept, [(0.0, 2.0), (1000.0, 0.0), (2000.0, 0.0)], replicas=2) == [2, 2, 2]


def test_a_faster_world_decides_the_same() -> None:
    looks = [(15.0 * step, metric) for step, metric in enumerate([9, 90, 300, 300, 0, 0, 4, 0] + [0] * 40)]
    quick = [(now / 10, metric) for now, metric in looks]
    assert run(POLICY.faster(10.0), quick) == run(POLICY, looks)


def test_one_huge_job_brings_all_the_workers_that_are_allowed(shipped: ScalingPolicy) -> None:
    """A trigger that wants more per worker than the scheduler publishes per worker would stop at one."""
    slots, replicas, history = shipped_slots(), 0, History()
    for look in range(40):
        replicas, history = decide(shipped, history, 15.0 * look, publish_window(replicas * slots), replicas)
    assert replicas == shipped.max_replicas


def test_a_worker_that_is_busy_is_not_taken_for_idle(shipped: ScalingPolicy) -> None:
    """Nothing waits, but each of ten workers is at one bundle per slot: none of them goes."""
    bundles = 10.0 * shipped_slots()
    looks = [(15.0 * step, bundles) for step in range(100)]
    assert set(run(shipped, looks, replicas=10)) == {10}


def test_what_ships_is_slow_to_let_go(shipped: ScalingPolicy) -> None:
    assert shipped.min_replicas == 0
    assert shipped.down.window_seconds >= 120
    assert shipped.cooldown_seconds >= shipped.down.window_seconds
    assert shipped.up.window_seconds == 0
