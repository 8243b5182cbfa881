"""Answers that are kept: one computation for all who ask, and the latest ones are still there."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.gateway.kept import Kept


def nothing() -> None:
    """Somebody waits."""


def test_the_answers_asked_for_last_are_kept() -> None:
    kept: Kept[str, str] = Kept(2)
    computed: list[str] = []

    def ask(key: str) -> str:
        def compute() -> str:
            computed.append(key)
            return key.upper()

        return kept.get(key, compute, nothing)

    assert [ask(key) for key in "ababcabc"] == list("ABABCABC")
    # c drives a out, then a drives b, b drives c, and c drives a.
    assert computed == list("abcabc")


def test_all_who_ask_at_once_get_one_computation() -> None:
    kept: Kept[str, int] = Kept(2)
    begun, go_on, computed = threading.Event(), threading.Event(), []

    def compute() -> int:
        computed.append(1)
        begun.set()
        assert go_on.wait(60)
        return 7

    with ThreadPoolExecutor(8) as callers:
        first = callers.submit(kept.get, "a", compute, nothing)
        assert begun.wait(60)
        others = [callers.submit(kept.get, "a", compute, nothing) for _ in range(7)]
        go_on.set()
        assert {call.result(60) for call in (first, *others)} == {7}
    assert computed == [1]


def test_a_failure_is_not_kept() -> None:
    kept: Kept[str, int] = Kept(2)

    def fail() -> int:
        raise ConnectionError("away")

    with pytest.raises(ConnectionError):
        kept.get("a", fail, nothing)
    assert kept.get("a", lambda: 3, nothing) == 3
