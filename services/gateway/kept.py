"""Answers that take time: computed once, one at a time, and kept for a while."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from services.gateway.turns import Turns

__all__ = ["Kept"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """The last answers, each by a key that names all it depends on."""

    def __init__(self, max_kept: int) -> None:
        """Keep at most `max_kept` answers."""
        self._max_kept = max_kept
        self._computing = Turns()
        self._answers: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K, compute: Callable[[], V], check_still_wanted: Callable[[], None]) -> V:
        """The answer that is kept, or the one that `compute` gives; what it raises is not kept.

        `check_still_wanted` is called while others compute, and ends the waiting by raising.
        """
        kept = self._find(key)
        if kept is not None:
            return kept
        with self._computing.take(check_still_wanted):
            # Whoever had the turn before may have computed this very answer.
            found = self._find(key)
            if found is None:
                found = compute()
                with self._lock:
                    self._answers[key] = found
                    while len(self._answers) > self._max_kept:
                        self._answers.popitem(last=False)
        return found

    def _find(self, key: K) -> V | None:
        with self._lock:
            found = self._answers.get(key)
            if found is not None:
                self._answers.move_to_end(key)
            return found
