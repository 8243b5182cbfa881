"""Fits that wait for leave and fail where a test says so: a job that stands still while it is looked at."""

from __future__ import annotations

import threading
from typing import Any

import ckernel

__all__ = ["GatedFits"]


class GatedFits:
    """`ckernel.fit` behind a gate; give it to a worker in place of the kernel."""

    def __init__(self) -> None:
        """Open, and nothing fails."""
        self.failing: set[tuple[int, str]] = set()
        self._changed = threading.Condition()
        self._leave: int | None = None

    def close(self, after: int = 0) -> None:
        """Let so many more fits pass and hold the rest."""
        with self._changed:
            self._leave = after
            self._changed.notify_all()

    def open(self) -> None:
        """Let every fit pass."""
        with self._changed:
            self._leave = None
            self._changed.notify_all()

    def __call__(self, values: Any, n_clusters: int, covariance: str, **options: Any) -> ckernel.Fit:
        """Fit once the gate lets it."""
        with self._changed:
            self._changed.wait_for(lambda: self._leave is None or self._leave > 0, timeout=240)
            if self._leave:
                self._leave -= 1
        if (n_clusters, covariance) in self.failing:
            raise ValueError("The rows of this test cannot be fitted.")
        return ckernel.fit(values, n_clusters, covariance, **options)
