"""The schedule of faults: reproducible, complete, in order, within its time."""

from __future__ import annotations

import itertools

import pytest

from tests.chaos.schedule import Fault, plan_round, plan_strikes


def test_same_seed_same_strikes_and_another_seed_others() -> None:
    assert plan_strikes(7, 300.0) == plan_strikes(7, 300.0)
    assert plan_strikes(7, 300.0) != plan_strikes(8, 300.0)


def test_longer_schedule_begins_with_the_shorter_one() -> None:
    short = plan_strikes(3, 60.0)
    assert plan_strikes(3, 120.0)[: len(short)] == short


@pytest.mark.parametrize("seed", range(20))
def test_strikes_are_in_order_and_begin_within_the_time(seed: int) -> None:
    times = [strike.at_seconds for strike in plan_strikes(seed, 100.0)]
    assert times == sorted(times)
    assert times[0] >= 4.0
    assert times[-1] <= 100.0
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= 5.001


@pytest.mark.parametrize("seed", range(20))
def test_every_fault_is_dealt_before_any_hand_is_repeated(seed: int) -> None:
    # 21 cards at most 5 s apart, the first after 2 s.
    assert {strike.fault for strike in plan_strikes(seed, 107.0)} == set(Fault)


@pytest.mark.parametrize("seed", range(5))
def test_a_round_has_each_of_its_faults_once_in_an_order_of_its_seed(seed: int) -> None:
    strikes = plan_round(seed, set(Fault), (1.0, 2.0))
    assert sorted(strike.fault for strike in strikes) == sorted(Fault)
    times = [strike.at_seconds for strike in strikes]
    assert all(0.999 <= later - earlier <= 2.001 for earlier, later in itertools.pairwise(times))
    assert strikes == plan_round(seed, set(Fault), (1.0, 2.0)) != plan_round(seed + 1, set(Fault), (1.0, 2.0))


def test_outage_of_the_store_lasts_ten_seconds_and_a_kill_no_time() -> None:
    lasting = {strike.fault: strike.seconds for strike in plan_strikes(1, 300.0)}
    assert lasting[Fault.STOP_STORE] == 10.0
    assert lasting[Fault.KILL_WORKER] == 0.0
    assert lasting[Fault.STALL_BROKER] >= 8.0


def test_no_time_no_strikes() -> None:
    assert plan_strikes(1, 0.0) == ()
