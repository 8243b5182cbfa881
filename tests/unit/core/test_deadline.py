"""What is left of a call's time, as whoever waits for a backend asks for it."""

from __future__ import annotations

from contextvars import Context

import pytest

from services.core.deadline import at_most, seconds_left, set_deadline


def within(seconds: float | None) -> tuple[float | None, float]:
    """What is left, and of a wait of 10 s, in a context of its own."""

    def ask() -> tuple[float | None, float]:
        set_deadline(seconds)
        return seconds_left(), at_most(10.0)

    return Context().run(ask)


@pytest.mark.parametrize("seconds", [None, 9.2e9, float("inf")])
def test_who_waits_without_end_shortens_nothing(seconds: float | None) -> None:
    assert within(seconds) == (None, 10.0)


def test_a_wait_ends_with_the_deadline_and_not_later_than_it_would() -> None:
    left, wait = within(3.0)
    assert left is not None
    assert 0 <= wait <= left <= 3.0
    assert within(3600.0)[1] == 10.0


def test_after_the_deadline_nothing_is_waited_for() -> None:
    assert within(0.0) == (0.0, 0.0)
    assert within(-1.0) == (0.0, 0.0)


def test_a_call_knows_nothing_of_another() -> None:
    within(0.0)
    assert seconds_left() is None
