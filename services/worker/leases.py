"""Leases: keeps the claims of running bundles alive, and tells a bundle when its claim is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog

from services.core.clock import Clock
from services.core.errors import Unavailable
from services.core.ports import TaskStore

__all__ = ["Claim", "LeaseKeeper"]

_STOP_SECONDS = 1.0


class Claim:
    """One attempt's hold on its tasks."""

    def __init__(self, attempt_id: str, job_id: str) -> None:
        self.attempt_id = attempt_id
        self.job_id = job_id
        self._lost = threading.Event()

    @property
    def is_lost(self) -> bool:
        """Whether nothing of this attempt is to be computed or settled any more."""
        return self._lost.is_set()

    def lose(self) -> None:
        """Note that the tasks went to another attempt, were cancelled, or were handed back."""
        self._lost.set()


class LeaseKeeper:
    """Renews the leases of active claims, from a thread of its own, at a third of their length."""

    def __init__(self, store: TaskStore, lease_seconds: float, clock: Clock) -> None:
        self._store = store
        self._lease = timedelta(seconds=lease_seconds)
        self._pause_seconds = lease_seconds / 3
        self._clock = clock
        self._lock = threading.Lock()
        self._claims: dict[str, Claim] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._logger = structlog.get_logger("worker")

    def start(self) -> None:
        """Begin to renew."""
        self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; idempotent. One that waits for the store right now ends by itself, soon after."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
            self._thread = None

    @contextmanager
    def hold(self, claim: Claim) -> Iterator[Claim]:
        """Renew this claim's lease while the block runs."""
        with self._lock:
            self._claims[claim.attempt_id] = claim
        try:
            yield claim
        finally:
            with self._lock:
                del self._claims[claim.attempt_id]

    def active(self) -> tuple[Claim, ...]:
        """The claims held right now."""
        with self._lock:
            return tuple(self._claims.values())

    def renew(self) -> None:
        """Renew every active claim once. A store that does not answer is asked again at the next turn.

        Until then the lease may end and another worker take the tasks; what this one still computes is
        refused then, by its attempt_id.
        """
        for claim in self.active():
            try:
                held = self._store.renew_lease(claim.attempt_id, self._clock() + self._lease)
            except Unavailable as error:
                self._logger.warning(
                    "lease not renewed", job_id=claim.job_id, attempt=claim.attempt_id, error=str(error)
                )
                continue
            if not held:
                claim.lose()

    def _run(self) -> None:
        while not self._stop.wait(self._pause_seconds):
            try:
                self.renew()
            except Exception:
                # Without this thread every long fit of this worker would be lost.
                self._logger.exception("leases not renewed")
