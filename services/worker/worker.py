"""The worker: one consumer, a thread per slot, and an orderly end."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import structlog

import ckernel
from services.core.backoff import backoff_seconds
from services.core.clock import Clock, utc_now
from services.core.errors import Unavailable
from services.core.ports import BundleConsumer, ObjectStore, Store, TaskQueue
from services.core.settings import Settings
from services.worker.bundles import BundleRunner
from services.worker.exclusive import Gate
from services.worker.fitting import Fit
from services.worker.leases import LeaseKeeper
from services.worker.matrices import MAX_CACHE_BYTES, MatrixCache, open_matrix

__all__ = ["Worker"]

# How long an idle slot may take to notice that it should stop.
_POLL_SECONDS = 0.25
# A closed consumer answers at once; without a pause its slots would spin until they are stopped.
_IDLE_SECONDS = 0.01
# What the end may take beyond the grace: a store that does not answer must not turn SIGTERM into SIGKILL.
_HAND_BACK_SECONDS = 2.0


class Worker:
    """Runs bundles on `settings.worker_slots` threads; the kernel computes with the GIL released."""

    def __init__(
        self,
        store: Store,
        queue: TaskQueue,
        objects: ObjectStore,
        settings: Settings,
        *,
        clock: Clock = utc_now,
        jitter: Callable[[], float] = random.random,
        pause: Callable[[float], object] | None = None,
        fit: Fit = ckernel.fit,
        cache_bytes: int = MAX_CACHE_BYTES,
    ) -> None:
        """Make one; it consumes nothing before `start`.

        Args:
            jitter: gives random numbers in [0, 1) for the pauses after a failure.
            pause: waits so many seconds after a failure; default: really, or until the worker stops.
            cache_bytes: matrices kept in memory, at most about so many bytes.
        """
        self._store = store
        self._queue = queue
        self._slots = settings.worker_slots
        self._clock = clock
        self._jitter = jitter
        self._stopping = threading.Event()
        self._pause = pause or self._stopping.wait
        self._keeper = LeaseKeeper(store, settings.lease_seconds, clock)
        self._gate = Gate()
        self._runner = BundleRunner(
            store,
            queue,
            MatrixCache(lambda key: open_matrix(objects, key), cache_bytes),
            self._keeper,
            self._gate,
            lease_seconds=settings.lease_seconds,
            clock=clock,
            stopping=self._stopping,
            pause=self._pause,
            jitter=jitter,
            fit=fit,
        )
        self._consumer: BundleConsumer | None = None
        self._threads: list[threading.Thread] = []
        self._logger = structlog.get_logger("worker")

    def start(self) -> None:
        """Begin to consume; once per worker.

        Raises:
            QueueUnavailable: the queue does not answer.
        """
        consumer = self._consumer = self._queue.open_bundle_consumer(self._slots)
        self._keeper.start()
        self._threads = [
            threading.Thread(target=self._serve, args=(consumer,), name=f"worker-slot-{slot}", daemon=True)
            for slot in range(self._slots)
        ]
        for thread in self._threads:
            thread.start()
        self._logger.info("worker started", slots=self._slots)

    @property
    def is_stopping(self) -> bool:
        """Whether it takes no more bundles."""
        return self._stopping.is_set()

    @property
    def is_alive(self) -> bool:
        """Whether every slot still runs; a worker short of one is better started again."""
        return all(thread.is_alive() for thread in self._threads)

    def stop(self, grace_seconds: float) -> bool:
        """Take no more bundles, let current fits end within the grace, hand back the rest; idempotent.

        Takes a few seconds more at most, whatever the store does: what is not handed back by then is taken
        up when its lease ends.

        Returns whether every fit ended in time. One that did not goes on in its thread until the process
        ends; its claim is released, so another worker may take the task, and its result is refused.
        """
        self._stopping.set()
        self._gate.close()
        deadline = time.monotonic() + grace_seconds
        if self._consumer is not None:
            # At once: what came to a free slot now would wait there for the last fit of another.
            self._consumer.cancel()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        overdue = [thread for thread in self._threads if thread.is_alive()]
        if overdue:
            hand_back = threading.Thread(target=self._abandon, name="worker-hand-back", daemon=True)
            hand_back.start()
            hand_back.join(_HAND_BACK_SECONDS)
        # After the last acknowledgement; what is still unacknowledged goes back to the queue.
        if self._consumer is not None:
            self._consumer.close()
        self._keeper.stop()
        self._threads = []
        self._logger.info("worker stopped", overdue=len(overdue))
        return not overdue

    def _abandon(self) -> None:
        claims = self._keeper.active()
        for claim in claims:
            claim.lose()
        for claim in claims:
            self._logger.warning(
                "fit outlasts the grace period; its tasks are handed back",
                job_id=claim.job_id,
                attempt=claim.attempt_id,
            )
            try:
                self._store.release_tasks(claim.attempt_id, self._clock())
            except Unavailable as error:
                self._logger.warning(
                    "claim not released; its lease ends by itself",
                    job_id=claim.job_id,
                    attempt=claim.attempt_id,
                    error=str(error),
                )

    def _serve(self, consumer: BundleConsumer) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                delivery = consumer.receive(_POLL_SECONDS)
                if delivery is None:
                    self._stopping.wait(_IDLE_SECONDS)
                    continue
                self._runner.run(delivery)
                failures = 0
                continue
            except Unavailable as error:
                self._logger.warning("slot waits: a server does not answer", error=str(error))
            except Exception:
                # A slot that ended would be missing until the process restarts.
                self._logger.exception("slot met an unexpected error")
            failures += 1
            self._pause(backoff_seconds(failures, self._jitter()))
