"""A task that ends its worker's process is given up; its neighbours finish and the workers stay up."""

from __future__ import annotations

import os
import sys
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from services.backends.assembly import Backends, open_backends
from services.core.covariance import Covariance
from services.core.datasets import Correlation, Dataset, TableFormat, table_key
from services.core.jobs import Job, JobEvent, JobSpec, JobState
from services.core.settings import read_settings
from services.core.tasks import TaskState, lost_too_often
from services.scheduler import Scheduler
from tests.chaos.pods import Pod

PATIENCE_SECONDS = 90.0
DELIVERY_LIMIT = 1

# A worker whose fits with K = 2 end the process and all that runs beside them, as a want of memory would.
_WORKER = """
import os, signal, sys, threading
import ckernel
from services.backends.assembly import open_backends
from services.core.settings import read_settings
from services.worker import Worker

def fit(data, k, *arguments, **options):
    if k == 2:
        in_company.wait(1.0)
        os.kill(os.getpid(), signal.SIGKILL)
    in_company.set()
    stopping.wait(0.2)
    return ckernel.fit(data, k, *arguments, **options)

in_company, stopping = threading.Event(), threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stopping.set())
store, queue, objects, slots = sys.argv[1:]
backends = open_backends(store_url=store, queue_url=queue, objects_url=objects, delivery_limit=1)
settings = read_settings(worker_slots=int(slots), lease_seconds=1)
worker = Worker(backends.store, backends.queue, backends.objects, settings, fit=fit)
worker.start()
stopping.wait()
worker.stop(5)
backends.close()
"""


@pytest.fixture
def urls(tmp_path: Path, rabbitmq_url: str) -> tuple[str, str, str]:
    prefix = f"t-{uuid.uuid4().hex[:16]}"
    store = f"sqlite://{tmp_path / 'jobs.sqlite'}"
    return store, f"{rabbitmq_url}?prefix={prefix}", f"file://{tmp_path / 'objects'}"


@pytest.fixture
def backends(urls: tuple[str, str, str]) -> Iterator[Backends]:
    store, queue, objects = urls
    opened = open_backends(
        store_url=store, queue_url=queue, objects_url=objects, delivery_limit=DELIVERY_LIMIT
    )
    yield opened
    opened.close()


@pytest.fixture
def job(backends: Backends) -> Job:
    values = np.random.default_rng(3).normal(size=(60, 2))
    buffer = pa.BufferOutputStream()
    parquet.write_table(pa.table({"a": values[:, 0], "b": values[:, 1]}), buffer)
    backends.objects.put(table_key("d1"), [buffer.getvalue().to_pybytes()])
    now = datetime.now(UTC).replace(microsecond=0)
    backends.store.insert_dataset(
        Dataset("d1", "", "d.csv", TableFormat.CSV, 1, "0" * 64, 60, (), Correlation((), (), 0), now)
    )
    spec = JobSpec("d1", ("a", "b"), 4, 3, n_init=2, covariances=(Covariance.FULL_TIED,))
    return backends.store.insert_job(Job("j1", "", "poison", spec, 60, 0, now))


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("n_workers", "slots", "bundle_seconds"), [(2, 1, 1.5), (1, 4, 0.0001)], ids=["workers", "slots"]
)
def test_poison_is_given_up_and_all_else_finishes(
    tmp_path: Path,
    urls: tuple[str, str, str],
    backends: Backends,
    job: Job,
    n_workers: int,
    slots: int,
    bundle_seconds: float,
) -> None:
    settings = read_settings(
        lease_seconds=1,
        sweep_seconds=0.2,
        republish_seconds=5,
        delivery_limit=DELIVERY_LIMIT,
        bundle_seconds=bundle_seconds,
    )
    command = [sys.executable, "-c", _WORKER, *urls, str(slots)]
    workers = [Pod(f"worker-{number}", command, os.environ, tmp_path, 10.0) for number in range(n_workers)]
    stopping = threading.Event()
    scheduler = threading.Thread(
        target=Scheduler(backends.store, backends.queue, settings).run, args=(stopping,)
    )
    try:
        for worker in workers:
            worker.start()
        scheduler.start()
        backends.queue.publish_event(JobEvent(job.id))
        revision = job.revision
        for _ in range(int(PATIENCE_SECONDS)):
            if backends.store.get_job(job.id).state.is_terminal:
                break
            revision = backends.store.wait_for_change(job.id, revision, 1.0)
    finally:
        stopping.set()
        scheduler.join(PATIENCE_SECONDS)
        for worker in workers:
            worker.stop()
    assert backends.store.get_job(job.id).state is JobState.FAILED
    for task in backends.store.all_tasks(job.id):
        if task.key.k == 2:
            assert (task.state, task.error) == (TaskState.ERROR, lost_too_often(DELIVERY_LIMIT + 1))
            assert task.attempts == DELIVERY_LIMIT + 1
        else:
            assert task.state in {TaskState.DONE, TaskState.DEGENERATE}, task
    kills = [ending for worker in workers for ending in worker.endings if ending.asked is None]
    # Three tasks kill; as long as they share a bundle or a process, a worker dies of the first of them.
    assert 3 * DELIVERY_LIMIT < len(kills) <= 3 * (DELIVERY_LIMIT + 1)
