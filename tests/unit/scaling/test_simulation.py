from __future__ import annotations

import pytest

from tests.scaling.manifest import shipped_policy, shipped_slots
from tests.scaling.policy import ScalingPolicy
from tests.scaling.report import CASES, DOCUMENT, table
from tests.scaling.simulation import Site, simulate

UNLIMITED = {"store_results_per_second": 1e9, "broker_bundles_per_second": 1e9}


@pytest.fixture(scope="module")
def policy() -> ScalingPolicy:
    return shipped_policy()


def test_with_no_limit_it_takes_as_long_as_the_workers_need(policy: ScalingPolicy) -> None:
    site = Site(tasks=100_000, task_seconds=2.0, slots=2, start_seconds=0.0, **UNLIMITED)
    outcome = simulate(policy, site, max_workers=100)
    assert outcome.bound_by == "workers"
    assert outcome.most_workers == 100
    # 100,000 tasks of 2 s in 200 slots, and some looks of the autoscaler until all are there.
    assert 1_000 <= outcome.drain_seconds <= 1_000 + 8 * policy.sync_seconds


def test_all_workers_go_in_the_end(policy: ScalingPolicy) -> None:
    outcome = simulate(policy, Site(tasks=1_000, jobs=1, **UNLIMITED))
    assert outcome.released_seconds >= outcome.drain_seconds + policy.cooldown_seconds - policy.sync_seconds


def test_beyond_the_store_more_workers_cost_more_and_gain_nothing(policy: ScalingPolicy) -> None:
    site = Site(tasks=100_000)
    enough = simulate(policy, site, max_workers=round(site.useful_workers))
    many = simulate(policy, site, max_workers=10 * round(site.useful_workers))
    assert many.bound_by == "store"
    assert many.drain_seconds > 0.8 * enough.drain_seconds
    assert many.worker_seconds > 3 * enough.worker_seconds


def test_tasks_of_a_moment_travel_together_and_the_broker_is_not_in_the_way() -> None:
    site = Site(task_seconds=0.01)
    assert site.bundle_tasks == 150
    assert site.highest_rate == site.store_results_per_second
    single = Site(task_seconds=3.0, store_results_per_second=1e9)
    assert single.highest_rate == single.broker_bundles_per_second


def test_the_simulated_worker_is_the_one_that_ships() -> None:
    assert Site().slots == shipped_slots()


def test_the_document_shows_what_the_simulation_says(policy: ScalingPolicy) -> None:
    assert len(CASES) >= 6
    assert table(policy) in DOCUMENT.read_text(), (
        "run `python -m tests.scaling simulate`, and put its table in"
    )
