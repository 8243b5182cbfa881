"""A whole service without its front door: embedded backends in a temporary folder, the real kernel."""

from __future__ import annotations

import io
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

import ckernel
from services.backends.directory import DirectoryObjects
from services.backends.memory_queue import MemoryQueue
from services.backends.sqlite import SqliteStore
from services.core.covariance import Covariance
from services.core.datasets import Correlation, Dataset, TableFormat, table_key
from services.core.jobs import Job, JobEvent, JobSpec
from services.core.settings import Settings
from services.core.tasks import Bundle, Task, TaskState
from services.scheduler import Scheduler
from services.worker import Worker

PATIENCE_SECONDS = 60.0
COLUMNS = ("a", "b")


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class WatchedQueue(MemoryQueue):
    """Notes what is published; may shuffle it, double it or lose it."""

    def __init__(self, *, delivery_limit: int = 3) -> None:
        super().__init__(delivery_limit=delivery_limit)
        self.published: list[Bundle] = []
        self.shuffle: random.Random | None = None
        self.copies = 1
        self.shared = False

    @property
    def is_shared(self) -> bool:
        return self.shared

    def publish_bundles(self, bundles: Sequence[Bundle]) -> None:
        self.published += bundles
        sent = [bundle for bundle in bundles for _ in range(self.copies)]
        if self.shuffle is not None:
            sent = [
                replace(bundle, keys=tuple(self.shuffle.sample(bundle.keys, len(bundle.keys))))
                for bundle in self.shuffle.sample(sent, len(sent))
            ]
        super().publish_bundles(sent)


@dataclass
class CountedFit:
    """`ckernel.fit`, counted; with a gate, every call waits until it is opened."""

    gate: threading.Event | None = None
    calls: int = 0
    entered: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, *arguments: Any, **options: Any) -> ckernel.Fit:
        with self._lock:
            self.calls += 1
        self.entered.set()
        if self.gate is not None:
            assert self.gate.wait(PATIENCE_SECONDS)
        return ckernel.fit(*arguments, **options)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something another thread does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


class Service:
    """One store, one queue, one object store, and whoever works on them."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.store = SqliteStore(folder / "jobs.sqlite")
        self.queue = WatchedQueue()
        self.objects = DirectoryObjects(folder / "objects")
        self.settings = Settings(worker_slots=1, bundle_seconds=0.002, sweep_seconds=0.01)

    def close(self) -> None:
        self.queue.close()
        self.store.close()
        self.objects.close()

    def upload(self, dataset_id: str = "d1", values: Any = None) -> None:
        if values is None:
            random_numbers = np.random.default_rng(7)
            values = np.concatenate([random_numbers.normal(6 * c, 1, (30, 2)) for c in range(3)])
        table = pa.table({name: values[:, index] for index, name in enumerate(COLUMNS)})
        buffer = io.BytesIO()
        parquet.write_table(table, buffer)
        self.objects.put(table_key(dataset_id), [buffer.getvalue()])
        n = len(values)
        self.store.insert_dataset(
            Dataset(
                dataset_id, "", "d.csv", TableFormat.CSV, 1, "0" * 64, n, (), Correlation((), (), 0),
                self.clock(),
            )
        )  # fmt: skip

    def submit(self, job_id: str = "j1", *, announce: bool = True, **spec: Any) -> Job:
        chosen: dict[str, Any] = {
            "max_k": 3,
            "n_experiments": 4,
            "n_init": 2,
            "covariances": (Covariance.FULL_UNTIED, Covariance.DIAG_TIED),
            "seed": 5,
        }
        job = self.store.insert_job(
            Job(job_id, "", job_id, JobSpec("d1", COLUMNS, **(chosen | spec)), 90, 0, self.clock())
        )
        if announce:
            self.announce(job_id)
        return job

    def announce(self, job_id: str = "j1") -> None:
        self.queue.publish_event(JobEvent(job_id))

    def scheduler(self, **options: Any) -> Scheduler:
        return Scheduler(self.store, self.queue, self.settings, **({"clock": self.clock} | options))

    @contextmanager
    def worker(self, slots: int = 1, **options: Any) -> Iterator[Worker]:
        settings = self.settings.model_copy(update={"worker_slots": slots})
        chosen = {"clock": self.clock, "pause": lambda seconds: None} | options
        worker = Worker(self.store, self.queue, chosen.pop("objects", self.objects), settings, **chosen)
        worker.start()
        try:
            yield worker
        finally:
            assert worker.stop(PATIENCE_SECONDS)

    def run(self, job_id: str = "j1", *, scheduler: Scheduler | None = None, **options: Any) -> Job:
        """Work on a job, with one worker, until it has ended."""
        with self.worker(**options):
            return self.until_ended(job_id, scheduler or self.scheduler())

    def until_ended(self, job_id: str, scheduler: Scheduler) -> Job:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.store.get_job(job_id).state.is_terminal:
            assert time.monotonic() < deadline, self.store.count_tasks(job_id)
            scheduler.handle_events(0.05)
        return self.store.get_job(job_id)

    def tasks(self, job_id: str = "j1") -> tuple[Task, ...]:
        return self.store.all_tasks(job_id)

    def fits(self, job_id: str = "j1") -> dict[str, tuple[Any, bytes]]:
        """Every score and every model, to the last bit."""
        return {
            task.key.short_id: (task.result, self.store.get_model(task.key).to_bytes())
            for task in self.tasks(job_id)
        }

    def all_fitted(self, job_id: str = "j1") -> bool:
        return all(task.state in {TaskState.DONE, TaskState.DEGENERATE} for task in self.tasks(job_id))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    made.upload()
    yield made
    made.close()


@pytest.fixture
def counted_fit() -> CountedFit:
    return CountedFit()


@pytest.fixture(name="until")
def until_fixture() -> Callable[[Callable[[], bool]], None]:
    return until
