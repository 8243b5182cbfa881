"""A gateway, a scheduler and a worker, each observed on its own, as three processes would be."""

from __future__ import annotations

import io
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from kmeans.v1 import job_pb2
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import ckernel
from kmeans_client import Client
from services.backends.directory import DirectoryObjects
from services.backends.memory_queue import MemoryQueue
from services.backends.rabbitmq import RabbitQueue
from services.backends.sqlite import SqliteStore
from services.core.ports import TaskQueue
from services.core.settings import Settings
from services.gateway.server import Gateway
from services.scheduler import Scheduler
from services.telemetry.observation import Observation
from services.telemetry.tracing import Tracing
from services.worker import Worker

PATIENCE_SECONDS = 60.0


def make_table() -> bytes:
    numbers = np.random.default_rng(5)
    values = np.concatenate([numbers.normal(6 * zone, 1, (40, 2)) for zone in range(3)])
    lines = "\n".join(f"{first:.3f},{second:.3f}" for first, second in values)
    return f"a,b\n{lines}\n".encode()


@dataclass
class Observed:
    """What runs, and what is told of it."""

    address: str
    spans: InMemorySpanExporter
    gateway: Observation
    scheduler: Observation
    worker: Observation

    @property
    def all(self) -> tuple[Observation, ...]:
        return (self.gateway, self.scheduler, self.worker)

    def run_job(self, max_k: int = 2) -> job_pb2.Job:
        """Upload a table, run a job on it to its end, and let what it does end, too."""
        with Client(self.address) as client:
            client.wait_until_ready(PATIENCE_SECONDS)
            dataset = client.upload_dataset(io.BytesIO(make_table()), display_name="zones.csv")
            spec = job_pb2.JobSpec(dataset=dataset.name, max_k=max_k, n_experiments=2, n_init=2)
            job = client.create_job(spec).job
            for step in client.watch_job(job.name, job_only=True):
                job = step.job
        return job


@contextmanager
def observed_services(folder: Path, open_queue: Callable[[], TaskQueue]) -> Iterator[Observed]:
    spans = InMemorySpanExporter()

    def observation(name: str) -> Observation:
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(spans))
        return Observation(name, Tracing(provider))

    settings = Settings(worker_slots=2, sweep_seconds=0.05, bundle_seconds=0.01)
    observed = Observed("", spans, *map(observation, ("gateway", "scheduler", "worker")))
    with ExitStack() as opened:
        stores, queues = [], []
        objects = DirectoryObjects(folder / "objects")
        for each in observed.all:
            store, queue = SqliteStore(folder / "jobs.sqlite"), open_queue()
            opened.callback(store.close)
            opened.callback(queue.close)
            opened.callback(each.close)
            stores.append(each.store(store))
            queues.append(each.queue(queue))
        gateway = Gateway(
            stores[0],
            queues[0],
            observed.gateway.objects(objects),
            settings,
            interceptors=[observed.gateway.rpcs()],
        )
        observed.address = f"127.0.0.1:{gateway.start('127.0.0.1:0')}"
        opened.callback(gateway.stop, 1.0)
        worker = Worker(
            stores[2],
            queues[2],
            observed.worker.objects(objects),
            settings,
            fit=observed.worker.fit(ckernel.fit),
        )
        worker.start()
        opened.callback(worker.stop, PATIENCE_SECONDS)
        stop = threading.Event()
        loop = Scheduler(stores[1], queues[1], settings)
        thread = threading.Thread(target=loop.run, args=(stop,))
        thread.start()
        opened.callback(thread.join, PATIENCE_SECONDS)
        opened.callback(stop.set)
        yield observed


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Observed]:
    queue = MemoryQueue()
    with observed_services(tmp_path, lambda: queue) as observed:
        yield observed


@pytest.fixture
def brokered(tmp_path: Path, rabbitmq_url: str) -> Iterator[Observed]:
    prefix = f"t-{secrets.token_hex(8)}"
    with observed_services(tmp_path, lambda: RabbitQueue(f"{rabbitmq_url}?prefix={prefix}")) as observed:
        yield observed
