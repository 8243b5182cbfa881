from __future__ import annotations

from ui.rates import Rate


def test_nothing_is_said_before_tasks_end() -> None:
    rate = Rate()
    assert rate.per_second(0) is None
    rate.see(0, 0)
    rate.see(5, 0)
    assert rate.per_second(6) is None
    assert rate.seconds_left(6, 100) is None


def test_speed_and_time_left_follow_the_last_seconds() -> None:
    rate = Rate()
    for second in range(61):
        rate.see(second, 10 * second if second <= 30 else 300 + 2 * (second - 30))
    assert rate.per_second(60) == 2
    assert rate.seconds_left(60, 40) == 20


def test_a_stall_makes_it_slower_and_a_retry_begins_anew() -> None:
    rate = Rate()
    rate.see(0, 0)
    rate.see(10, 100)
    assert rate.per_second(10) == 10
    assert rate.per_second(20) == 5
    rate.see(21, 99)
    assert rate.per_second(22) is None
