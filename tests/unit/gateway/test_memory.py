"""The memory of streams: who fits gets in, who does not waits for a while and is told."""

from __future__ import annotations

import threading

import pytest

from services.core.errors import LimitExceeded
from services.gateway.memory import Memory


def nothing() -> None:
    pass


def refused(memory: Memory, owner: str, size_bytes: int) -> LimitExceeded:
    with pytest.raises(LimitExceeded) as caught, memory.hold(owner, size_bytes, nothing):
        pass
    return caught.value


def test_what_does_not_fit_in_time_is_refused_with_a_hint() -> None:
    memory = Memory(100, 100, wait_seconds=0.0)
    with memory.hold("ann", 60, nothing):
        error = refused(memory, "ben", 41)
        assert error.reason == "TOO_MUCH_IN_MEMORY"
        assert error.retry_seconds
        assert error.metadata == {"size_bytes": "41", "limit_bytes": "100"}
        with memory.hold("ben", 40, nothing):
            pass
    with memory.hold("ben", 41, nothing):
        pass


def test_who_waits_gets_in_when_another_ends() -> None:
    memory = Memory(100, 100, wait_seconds=60.0)
    is_in, has_asked = threading.Event(), threading.Event()

    def wait() -> None:
        with memory.hold("ben", 50, nothing):
            is_in.set()

    waiter = threading.Thread(target=wait)
    with memory.hold("ann", 60, has_asked.set):
        waiter.start()
        assert not is_in.is_set()
    assert is_in.wait(30)
    waiter.join(30)


def test_waiting_ends_with_the_call() -> None:
    memory = Memory(100, 100, wait_seconds=60.0)

    def gone() -> None:
        raise ConnectionError

    with memory.hold("ann", 60, nothing), pytest.raises(ConnectionError), memory.hold("ann", 60, gone):
        pass


def test_one_owner_leaves_room_for_another() -> None:
    memory = Memory(100, 50, wait_seconds=0.0)
    with memory.hold("ann", 50, nothing):
        assert refused(memory, "ann", 1).reason == "TOO_MUCH_IN_MEMORY"
        with memory.hold("ben", 50, nothing):
            pass


def test_what_is_larger_than_all_of_it_goes_alone() -> None:
    memory = Memory(100, 50, wait_seconds=0.0)
    with memory.hold("ann", 1 << 40, nothing):
        refused(memory, "ann", 1)
    with memory.hold("ann", 1, nothing):
        refused(memory, "ann", 1 << 40)
