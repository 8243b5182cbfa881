"""How many jobs and tasks are in each state, as one process at a time tells it: the one that sweeps."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from services.core.clock import Clock, utc_now
from services.core.errors import NotFound, Unavailable
from services.core.jobs import JobState
from services.core.ports import Store
from services.core.tasks import TaskState
from services.telemetry.instruments import Instruments

__all__ = ["Census", "Counts", "take_counts"]

# Without a sign of the sweep for so long, its lease has gone elsewhere.
_STALE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Counts:
    """What one look at the store found; tasks are those of unfinished jobs."""

    jobs: dict[JobState, int]
    tasks: dict[TaskState, int]
    oldest_seconds: float


def take_counts(store: Store, clock: Clock) -> Counts:
    """Count; tasks of ended jobs may be millions and change no more, so that nobody counts them.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    found = store.count_jobs()
    jobs = {state: found.get(state, 0) for state in JobState}
    tasks: Counter[TaskState] = Counter()
    unfinished = store.unfinished_jobs()
    for job in unfinished:
        try:
            tasks.update(store.count_tasks(job.id).by_state)
        except NotFound:
            continue  # deleted meanwhile
    oldest = (clock() - unfinished[0].created_at).total_seconds() if unfinished else 0.0
    return Counts(jobs, {state: tasks[state] for state in TaskState}, max(0.0, oldest))


class Census(Collector):
    """Counts now and then, on a thread of its own: a scrape never waits for the store."""

    def __init__(
        self,
        store: Store,
        instruments: Instruments,
        *,
        interval_seconds: float = 10.0,
        clock: Clock = utc_now,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """Say nothing before `note(True)`."""
        self._store = store
        self._interval_seconds = interval_seconds
        self._clock = clock
        self._seconds = seconds
        self._logger = structlog.get_logger("telemetry")
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._held_at: float | None = None
        self._counts: Counts | None = None
        # Asked at each scrape: a sweep that hangs says nothing any more.
        instruments.sweeping.set_function(lambda: float(self._holds()))

    def note(self, holds: bool) -> None:
        """Hear whether this process has the lease of the sweep; the first time, begin to count."""
        with self._lock:
            self._held_at = self._seconds() if holds else None
            if not holds:
                self._counts = None
            if holds and self._thread is None and not self._stopping.is_set():
                self._thread = threading.Thread(target=self._run, name="census", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Count no more. Idempotent; one look that hangs ends with the process."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(1.0)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The names, without a look."""
        return self._families(None)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What the last look found, or nothing while another process sweeps."""
        return self._families(self._counts if self._holds() else None)

    def count(self) -> None:
        """Look once; an outage leaves nothing to tell."""
        counts = None
        try:
            counts = take_counts(self._store, self._clock)
        except Unavailable as error:
            self._logger.warning("jobs not counted", error=str(error))
        with self._lock:
            self._counts = counts if self._held_at is not None else None

    def _holds(self) -> bool:
        held_at = self._held_at
        return held_at is not None and self._seconds() - held_at < _STALE_SECONDS

    def _run(self) -> None:
        while not self._stopping.is_set():
            if self._holds():
                try:
                    self.count()
                except Exception:
                    # Without this thread the dashboard would show an old truth for ever.
                    self._logger.exception("jobs not counted")
            self._stopping.wait(self._interval_seconds)

    def _families(self, counts: Counts | None) -> Iterator[GaugeMetricFamily]:
        jobs = GaugeMetricFamily("kmeans_jobs", "Jobs, by state.", labels=["state"])
        tasks = GaugeMetricFamily("kmeans_tasks", "Tasks of unfinished jobs, by state.", labels=["state"])
        oldest = GaugeMetricFamily(
            "kmeans_oldest_unfinished_job_age_seconds", "Since the creation of the oldest unfinished job."
        )
        if counts is not None:
            for state, number in counts.jobs.items():
                jobs.add_metric([state.value], number)
            for each, number in counts.tasks.items():
                tasks.add_metric([each.value], number)
            oldest.add_metric([], counts.oldest_seconds)
        yield from (jobs, tasks, oldest)
