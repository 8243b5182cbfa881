"""The gate: who may be inside with whom, in which order, and what its closing does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from services.worker.exclusive import Gate
from tests.integration.jobs.conftest import until

PATIENCE_SECONDS = 30.0


class Guest:
    """Comes to a gate in a thread of its own, and stays inside until it is told to go."""

    def __init__(self, gate: Gate, alone: bool) -> None:
        self.answer: bool | None = None
        self._go = threading.Event()
        self._answered = threading.Event()
        self._thread = threading.Thread(target=self._visit, args=(gate, alone), daemon=True)
        self._thread.start()

    def _visit(self, gate: Gate, alone: bool) -> None:
        with gate.enter(alone=alone) as self.answer:
            self._answered.set()
            if self.answer:
                self._go.wait(PATIENCE_SECONDS)

    def has_entered(self) -> bool:
        assert self._answered.wait(PATIENCE_SECONDS)
        return bool(self.answer)

    @property
    def is_waiting(self) -> bool:
        return not self._answered.is_set()

    def leave(self) -> None:
        self._go.set()
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def come(gate: Gate) -> Iterator[Callable[..., Guest]]:
    guests: list[Guest] = []

    def come(*, alone: bool = False, waits: bool = False) -> Guest:
        in_line = len(gate._line)
        guests.append(Guest(gate, alone))
        if waits:
            until(lambda: len(gate._line) == in_line + 1)
        else:
            assert guests[-1].has_entered()
        return guests[-1]

    yield come
    gate.close()
    for guest in guests:
        guest.leave()


def test_ordinary_guests_are_inside_together(come: Callable[..., Guest]) -> None:
    for _ in range(4):
        assert come().has_entered()


def test_one_that_is_alone_waits_until_all_others_have_left(come: Callable[..., Guest]) -> None:
    first, second = come(), come()
    suspect = come(alone=True, waits=True)
    first.leave()
    assert suspect.is_waiting
    second.leave()
    assert suspect.has_entered()


def test_nobody_enters_beside_one_that_is_alone(come: Callable[..., Guest]) -> None:
    suspect = come(alone=True)
    ordinary, another = come(waits=True), come(alone=True, waits=True)
    assert ordinary.is_waiting
    suspect.leave()
    assert ordinary.has_entered()
    assert another.is_waiting
    ordinary.leave()
    assert another.has_entered()


def test_neither_kind_is_passed_by_those_that_come_later(come: Callable[..., Guest]) -> None:
    inside = come()
    suspect = come(alone=True, waits=True)
    # It could enter beside the one inside; if it did, and its like, the suspect would wait for ever.
    later = [come(waits=True), come(waits=True)]
    last = come(alone=True, waits=True)
    inside.leave()
    assert suspect.has_entered()
    assert all(guest.is_waiting for guest in [*later, last])
    suspect.leave()
    assert all(guest.has_entered() for guest in later)
    assert last.is_waiting


def test_closing_sends_away_who_waits_and_leaves_who_is_inside(
    gate: Gate, come: Callable[..., Guest]
) -> None:
    inside = come()
    waiting = [come(alone=True, waits=True), come(waits=True)]
    gate.close()
    assert not any(guest.has_entered() for guest in waiting)
    inside.leave()
    with gate.enter(alone=False) as may_enter:
        assert not may_enter


def test_an_error_inside_opens_the_gate_again(gate: Gate) -> None:
    with pytest.raises(RuntimeError), gate.enter(alone=True):
        raise RuntimeError("a bug")
    with gate.enter(alone=True) as may_enter:
        assert may_enter
