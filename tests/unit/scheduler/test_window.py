from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.jobs import Job, JobSpec
from services.core.planning import plan_parts, plan_tasks, publish_window
from services.scheduler.window import (
    JobCosts,
    bundles_of,
    choose_bundles,
    free_bundles,
    is_crowded,
    job_costs,
    lost_before,
    turn_bundles,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = JobSpec("d", ("a", "b", "c"))
KEYS = tuple(plan_tasks(Job("j", "", "", SPEC, 3232, 0, NOW)))
COSTS = job_costs(SPEC, 3232, 1.5, 60.0)


def outstanding_tasks(bundles: int) -> int:
    return sum(len(bundle.keys) for bundle in choose_bundles(COSTS, KEYS, bundles))


def test_first_tasks_cost_their_sum() -> None:
    for count in (0, 1, 59, 60, 61, 599, 600):
        assert COSTS.of_first(count) == pytest.approx(sum(COSTS.of(key) for key in KEYS[:count]))


def test_costs_are_estimated_once_per_spec() -> None:
    assert job_costs(SPEC, 3232, 1.5, 60.0) is COSTS


def test_window_is_all_free_while_nothing_is_out() -> None:
    assert free_bundles(COSTS, slots=8, ended=0, outstanding=0) == publish_window(8) == 16


@pytest.mark.parametrize("bundles", [1, 3, 15, 16, 17])
def test_bundles_out_take_their_places_in_the_window(bundles: int) -> None:
    free = free_bundles(COSTS, slots=8, ended=0, outstanding=outstanding_tasks(bundles))
    # Bundles are not filled to the brim: a few seem to take less than one place.
    assert max(0, 16 - bundles) <= free <= max(0, 16 - 0.7 * bundles)


@given(slots=st.integers(0, 64), ended=st.integers(0, 600), outstanding=st.integers(0, 600))
def test_window_is_never_exceeded_nor_closed_without_reason(slots: int, ended: int, outstanding: int) -> None:
    outstanding = min(outstanding, 600 - ended)
    free = free_bundles(COSTS, slots=slots, ended=ended, outstanding=outstanding)
    assert 0 <= free <= publish_window(slots)
    assert free >= publish_window(slots) - outstanding


def test_costly_tasks_fill_the_window_sooner() -> None:
    costs = job_costs(SPEC, 3232, 0.05, 60.0)
    cheap = free_bundles(costs, slots=2, ended=0, outstanding=12)
    costly = free_bundles(costs, slots=2, ended=48, outstanding=12)
    assert costly < cheap


@given(st.integers(0, 100), st.integers(0, 64))
def test_turn_is_bounded_by_what_is_free_and_by_the_slots(free: int, slots: int) -> None:
    turn = turn_bundles(free, slots)
    assert turn <= free
    assert turn <= max(2, slots)
    assert turn > 0 or free == 0


def test_chosen_bundles_are_the_first_and_of_the_right_size() -> None:
    bundles = choose_bundles(COSTS, KEYS, 3)
    assert len(bundles) == 3
    assert tuple(key for bundle in bundles for key in bundle.keys) == KEYS[: outstanding_tasks(3)]
    assert all(sum(map(COSTS.of, bundle.keys)) <= COSTS.bundle_seconds for bundle in bundles)
    assert choose_bundles(COSTS, (), 3) == ()
    assert len(choose_bundles(COSTS, KEYS, 10_000)) > 3


def test_parts_take_their_places_in_the_window() -> None:
    spec = replace(SPEC, n_init=2048)
    n = 1_000_000
    keys = tuple(plan_parts(Job("j", "", "", spec, n, 0, NOW), 60.0))
    costs = job_costs(spec, n, 1.5, 60.0)
    for count in (0, 1, 100, len(keys)):
        # Parts of one task differ by a start at most.
        assert costs.of_first(count) == pytest.approx(sum(map(costs.of, keys[:count])), rel=1e-3)
    tasks = list(dict.fromkeys(key.whole for key in keys))
    for n_tasks in (0, 1, 61, 600):
        first = set(tasks[:n_tasks])
        assert costs.parts_of_first(n_tasks) == sum(key.whole in first for key in keys)
    assert len(keys) > 2 * spec.n_tasks
    assert all(len(bundle.keys) == 1 for bundle in choose_bundles(costs, keys[-8:], 8))
    last = spec.n_tasks - 1
    assert [free_bundles(costs, slots=2, ended=last, outstanding=out) for out in (0, 1, 4, 9)] == [4, 3, 0, 0]


@pytest.mark.parametrize("bundles", [1, 3, 16])
def test_so_many_tasks_are_about_so_many_bundles(bundles: int) -> None:
    count = outstanding_tasks(bundles)
    assert 0.7 * bundles <= bundles_of(COSTS, before=0, count=count) <= bundles
    assert bundles_of(COSTS, before=300, count=0) == 0


@pytest.mark.parametrize(
    ("waiting", "slots", "jobs", "answer"),
    [(0, 0, 1, False), (7, 0, 1, False), (8, 0, 1, True), (15, 2, 2, False), (16, 2, 2, True)],
)
def test_a_queue_with_two_windows_of_every_job_in_it_gets_no_copies(
    waiting: int, slots: int, jobs: int, answer: bool
) -> None:
    assert is_crowded(waiting, slots, jobs) is answer


def test_published_tasks_are_lost_after_a_while() -> None:
    assert lost_before(NOW, 120.0) == NOW - timedelta(seconds=120)


def test_all_published_before_this_queue_began_is_lost() -> None:
    began = NOW - timedelta(seconds=5)
    assert lost_before(NOW, 120.0, queue_started_at=began) == began
    later = NOW + timedelta(seconds=300)
    assert lost_before(later, 120.0, queue_started_at=began) == later - timedelta(seconds=120)


def test_costs_of_a_job_with_one_task() -> None:
    costs = JobCosts({(1, KEYS[0].covariance): 2.0}, (0, 1), (0.0, 2.0), 1.5, 10)
    assert costs.of_first(1) == 2.0
    assert free_bundles(costs, slots=1, ended=0, outstanding=1) == 3


def test_suspects_travel_alone_and_keep_their_place() -> None:
    suspects = frozenset({KEYS[0], KEYS[3], KEYS[4]})
    bundles = choose_bundles(COSTS, KEYS, 10_000, suspects)
    assert [key for bundle in bundles for key in bundle.keys] == list(KEYS)
    assert [bundle.keys for bundle in bundles[:4]] == [KEYS[:1], KEYS[1:3], KEYS[3:4], KEYS[4:5]]
    assert all(len(bundle.keys) == 1 for bundle in bundles if suspects & set(bundle.keys))
    assert [bundle.alone for bundle in bundles] == [bool(suspects & set(bundle.keys)) for bundle in bundles]
