"""The sweep: finds what got lost. Runs under a lease, so that of several schedulers one sweeps."""

from __future__ import annotations

from datetime import timedelta

import structlog

from services.core.clock import Clock
from services.core.errors import Unavailable
from services.core.ports import DeadBundle, Store, TaskQueue
from services.core.settings import Settings

__all__ = ["Sweep"]


class Sweep:
    """One scheduler's part in the sweep."""

    def __init__(
        self,
        store: Store,
        queue: TaskQueue,
        settings: Settings,
        *,
        clock: Clock,
        holder_id: str,
    ) -> None:
        self._store = store
        self._queue = queue
        self._clock = clock
        self._holder_id = holder_id
        self._lease = f"sweep:{queue.name}"
        # Three missed sweeps: the holder is gone, another takes over.
        self._lease_span = timedelta(seconds=max(10.0, 3 * settings.sweep_seconds))
        self._deliveries = settings.delivery_limit + 1
        self._max_losses = settings.delivery_limit
        self._dead: list[DeadBundle] = []
        self._logger = structlog.get_logger("scheduler")

    def run(self) -> tuple[str, ...] | None:
        """Sweep once; return ids of jobs that may need a turn, or None when another scheduler sweeps.

        Raises:
            StoreUnavailable, QueueUnavailable: nothing is lost; the next sweep does the rest.
        """
        now = self._clock()
        # What was handed to us is ours to tell, whoever sweeps by now.
        self._tell_of_dead_bundles()
        if not self._store.acquire_lease(self._lease, self._holder_id, now + self._lease_span, now):
            return None
        for job_id in self._store.expire_leases(now, self._max_losses):
            self._logger.warning("tasks handed back: their worker's lease ended", job_id=job_id)
        self._store.remove_leases(now)
        self._dead += self._queue.receive_dead_bundles(0.0)
        self._tell_of_dead_bundles()
        # Every unfinished job gets a turn: it finds lost events, lost bundles and jobs to be closed alike.
        return tuple(job.id for job in self._store.unfinished_jobs())

    def release(self) -> None:
        """Let another scheduler sweep at once."""
        self._store.release_lease(self._lease, self._holder_id)

    def _tell_of_dead_bundles(self) -> None:
        """Those that the store has not heard of are kept, here and in the queue, until it has."""
        while self._dead:
            try:
                self._fail(self._dead[0])
            except Unavailable:
                raise
            except Exception:
                # Of a damaged job, say: kept, it would keep this scheduler from all others for good.
                self._logger.exception("dead bundle not told of", job_id=self._dead[0].bundle.job_id)
            # At once: one that came again much later would undo what a user has retried meanwhile.
            self._queue.forget_dead_bundle(self._dead.pop(0))

    def _fail(self, dead: DeadBundle) -> None:
        if not dead.was_rejected:
            # It went down with workers that had not even begun it, beside one that ended them, say. What was
            # begun counts its own losses; the rest is published again when its time has come.
            self._logger.warning(
                "bundle dropped, its tasks wait to be published again",
                job_id=dead.bundle.job_id,
                tasks=len(dead.bundle.keys),
                reason=dead.reason,
            )
            return
        error = f"Given up after {self._deliveries} deliveries: {dead.reason}"
        failed = self._store.fail_tasks(dead.bundle.keys, error, self._clock())
        self._logger.error(
            "bundle given up",
            job_id=dead.bundle.job_id,
            tasks=len(dead.bundle.keys),
            failed=len(failed),
            reason=dead.reason,
        )
