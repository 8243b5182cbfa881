"""The scheduler's loop: events as they come, a sweep now and then, whatever else fails."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable

import structlog

from services.core.backoff import backoff_seconds
from services.core.clock import Clock, utc_now
from services.core.errors import Unavailable
from services.core.ports import ObjectStore, Store, TaskQueue
from services.core.settings import Settings
from services.scheduler.dispatch import Dispatcher, Turn
from services.scheduler.line import Line
from services.scheduler.orphans import OrphanSweep
from services.scheduler.sweep import Sweep

__all__ = ["Scheduler"]

# How long `run` may take to notice that it should stop.
_POLL_SECONDS = 0.1
# A job held by another scheduler is tried again after this; a turn takes milliseconds.
_HELD_SECONDS = 0.05
# Turns between two looks at the clock, so that a flood of events does not hold up the sweep.
_TURNS_AT_ONCE = 64


class Scheduler:
    """Expands jobs, keeps their publish windows full, closes them, and sweeps.

    Several may run at once, in one process or many: expanding and closing are idempotent in the store,
    publishing for one job happens under a lease, and so does the sweep. One instance is for one thread.
    """

    def __init__(
        self,
        store: Store,
        queue: TaskQueue,
        settings: Settings,
        objects: ObjectStore | None = None,
        *,
        clock: Clock = utc_now,
        holder_id: str | None = None,
        jitter: Callable[[], float] = random.random,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        """Make one; it connects to nothing that the store and the queue are not connected to.

        Args:
            objects: where orphans are looked for; without it, nobody does.
            holder_id: names this scheduler in leases; unique, made up when not given.
            jitter: gives random numbers in [0, 1) for the pauses after a failure.
            pause: waits so many seconds after a failure; default: really, or until `run` is stopped.
        """
        holder_id = holder_id or uuid.uuid4().hex
        self._queue = queue
        self._sweep_seconds = settings.sweep_seconds
        self._jitter = jitter
        self._wait = pause
        self._dispatcher = Dispatcher(store, queue, settings, clock=clock, holder_id=holder_id)
        self._sweep = Sweep(store, queue, settings, clock=clock, holder_id=holder_id)
        self._orphans = (
            None
            if objects is None
            else OrphanSweep(store, objects, settings, clock=clock, holder_id=holder_id)
        )
        self._line = Line()
        self._held: list[str] = []
        self._logger = structlog.get_logger("scheduler").bind(scheduler=holder_id)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; outages are logged and waited out, with growing pauses."""
        self._logger.info("scheduler started")
        failures = 0
        next_sweep = time.monotonic()
        while not stop.is_set():
            try:
                now = time.monotonic()
                if now >= next_sweep:
                    # Set first, so that a sweep that fails is not tried again before its time.
                    next_sweep = now + self._sweep_seconds
                    if self.sweep() and self._orphans:
                        self._orphans.run()
                self.handle_events(max(0.0, min(_POLL_SECONDS, next_sweep - time.monotonic())))
                failures = 0
            except Unavailable as error:
                failures += 1
                self._pause(stop, failures, "scheduler waits: a server does not answer", error)
            except Exception as error:
                failures += 1
                self._logger.exception("scheduler met an unexpected error")
                self._pause(stop, failures, "scheduler waits after an unexpected error", error)
        try:
            self._sweep.release()
            if self._orphans:
                self._orphans.release()
        except Unavailable as error:
            self._logger.warning("leases of the sweep not released; they end by themselves", error=str(error))
        self._logger.info("scheduler stopped")

    def handle_events(self, timeout_seconds: float = 0.0) -> int:
        """Wait for events for at most this long, then give the waiting jobs their turns.

        Returns how many turns were given; 0 means that there was nothing to do.

        Raises:
            StoreUnavailable, QueueUnavailable: jobs that still wait keep their place.
        """
        self._line.join(self._held)
        if self._line:
            timeout_seconds = min(timeout_seconds, _HELD_SECONDS) if self._only_held() else 0.0
        self._held.clear()
        self._line.join(event.job_id for event in self._queue.receive_events(timeout_seconds))
        return self._give_turns()

    def sweep(self) -> bool:
        """Sweep once and give turns to the jobs that it found; False when another scheduler sweeps.

        Raises:
            StoreUnavailable, QueueUnavailable: the next sweep does the rest.
        """
        job_ids = self._sweep.run()
        if job_ids is None:
            return False
        self._line.join(job_ids)
        self._give_turns()
        return True

    def _only_held(self) -> bool:
        return len(self._line) == len(self._held)

    def _give_turns(self) -> int:
        turns = 0
        while self._line and turns < _TURNS_AT_ONCE:
            turns += 1
            job_id = self._line.first()
            try:
                turn = self._dispatcher.advance(job_id)
            except Unavailable:
                # It goes to the end: what fails for this job alone must not keep the others waiting.
                self._line.leave(job_id)
                self._line.join([job_id])
                raise
            except Exception:
                # One job that cannot be advanced must not hold up the others; the sweep comes back to it.
                self._logger.exception("job not advanced", job_id=job_id)
                turn = Turn.SETTLED
            if turn is Turn.MORE:
                # Behind those that have come meanwhile: a huge job with quick workers always has more.
                self._line.join(event.job_id for event in self._queue.receive_events(0.0))
            self._line.leave(job_id)
            if turn is Turn.MORE:
                self._line.join([job_id])
            elif turn is Turn.HELD:
                self._held.append(job_id)
        return turns

    def _pause(self, stop: threading.Event, failures: int, event: str, error: Exception) -> None:
        seconds = backoff_seconds(failures, self._jitter())
        self._logger.warning(event, error=str(error), failures=failures, pause_seconds=round(seconds, 3))
        (self._wait or stop.wait)(seconds)
