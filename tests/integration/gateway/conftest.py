"""A gateway on loopback with the embedded backends, and a stand-in for scheduler and workers."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import numpy as np
import pytest
from kmeans.v1 import dataset_pb2, dataset_service_pb2, dataset_service_pb2_grpc, job_service_pb2_grpc

import ckernel
from kmeans_client import Client
from services.backends.open import open_objects, open_queue, open_store
from services.core.clock import utc_now
from services.core.datasets import table_key
from services.core.jobs import Job
from services.core.models import FittedModel
from services.core.planning import plan_tasks, task_seed
from services.core.ports import ObjectStore, Store, TaskQueue
from services.core.settings import Settings
from services.core.tasks import TaskKey, TaskOutcome, TaskResult, TaskState
from services.gateway import jobs as gateway_jobs
from services.gateway.server import Gateway
from services.tables import load_matrix

END_OF_TIME = datetime.max.replace(tzinfo=UTC)
PLAIN = [("grpc.enable_http_proxy", 0)]
MAX_UPLOAD_BYTES = 200_000


@dataclass
class Backends:
    """The three stores of one test."""

    store: Store
    queue: TaskQueue
    objects: ObjectStore
    folder: Path

    def object_keys(self) -> set[str]:
        return set(self.objects.list_keys("", END_OF_TIME))

    def files(self) -> list[Path]:
        """Everything on disk that belongs to an object, half-written ones included."""
        # Not `rglob`, which fails when a folder goes away meanwhile.
        return [Path(folder, name) for folder, _, names in os.walk(self.folder / "objects") for name in names]


class Bench:
    """Does to the store what scheduler and workers do, when a test says so."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._attempts = 0

    def job(self, name: str) -> Job:
        return self._backends.store.get_job(name.removeprefix("jobs/"))

    def start(self, name: str) -> list[TaskKey]:
        job = self.job(name)
        keys = list(plan_tasks(job))
        self._backends.store.start_job(job.id, keys, utc_now())
        return keys

    def finish(self, keys: Sequence[TaskKey], outcome: Callable[[TaskKey], TaskOutcome]) -> None:
        self._attempts += 1
        attempt, now = f"attempt-{self._attempts}", utc_now()
        claimed = self._backends.store.claim_tasks(keys, attempt, now + timedelta(seconds=60), now)
        self._backends.store.finish_tasks(attempt, [outcome(key) for key in claimed], now)

    def close(self, name: str) -> Job:
        return self._backends.store.close_job(name.removeprefix("jobs/"), utc_now())

    def run(self, name: str) -> dict[TaskKey, ckernel.Fit]:
        """Fit every task of a job with the real kernel, and close the job."""
        keys = self.start(name)
        spec = self.job(name).spec
        with self._backends.objects.open(table_key(spec.dataset_id)) as source:
            matrix = load_matrix(source, spec.columns, scale=spec.scale)
        fits: dict[TaskKey, ckernel.Fit] = {}

        def fit(key: TaskKey) -> TaskOutcome:
            fits[key] = found = ckernel.fit(
                matrix.values,
                key.k,
                key.covariance.value,
                assignment=spec.assignment.value,
                n_init=spec.n_init,
                max_iter=spec.max_iter,
                seed=task_seed(spec.seed, key),
            )
            model = FittedModel(
                key.covariance,
                spec.assignment,
                spec.columns,
                matrix.offset,
                matrix.spread,
                found.weights,
                found.centers,
                found.model.parameters,
            )
            state = TaskState.DEGENERATE if found.degenerate else TaskState.DONE
            return TaskOutcome(key, state, 0.01, scores(found), model)

        self.finish(keys, fit)
        self.close(name)
        return fits


def scores(fit: ckernel.Fit) -> TaskResult:
    return TaskResult(
        fit.log_likelihood,
        fit.bic,
        fit.aic,
        fit.n_parameters,
        fit.n_iter,
        fit.converged,
        fit.regularized,
        tuple(fit.counts.tolist()),
        fit.start,
        fit.diagnosis,
    )


def done(key: TaskKey) -> TaskOutcome:
    """A made-up result, for tests that look only at how it travels."""
    counts = (100,) * key.k
    result = TaskResult(-5.0, -9.0 + key.k, -7.0, 3, 4, True, False, counts, 0)
    one = np.ones(1)
    model = FittedModel(
        key.covariance,
        "likelihood",
        ("a",),
        one * 0,
        one,
        np.ones(key.k),
        np.ones((key.k, 1)),
        one,  # type: ignore[arg-type]
    )
    return TaskOutcome(key, TaskState.DONE, 0.01, result, model)


def failed(key: TaskKey) -> TaskOutcome:
    return TaskOutcome(key, TaskState.ERROR, 0.01, error="The worker ran out of memory.")


@pytest.fixture(name="backends")
def make_backends(tmp_path: Path) -> Iterator[Backends]:
    store = open_store(f"sqlite://{tmp_path}/jobs.sqlite")
    queue = open_queue("memory://")
    objects = open_objects(f"file://{tmp_path}/objects")
    yield Backends(store, queue, objects, tmp_path)
    queue.close()
    objects.close()
    store.close()


@pytest.fixture
def bench(backends: Backends) -> Bench:
    return Bench(backends)


@pytest.fixture(name="gateway")
def make_gateway(backends: Backends, settings: Settings) -> Iterator[Gateway]:
    gateway = Gateway(backends.store, backends.queue, backends.objects, settings)
    yield gateway
    gateway.stop(0)


@pytest.fixture
def settings() -> Settings:
    return Settings(rpc_threads=8, max_watches=6, max_upload_bytes=MAX_UPLOAD_BYTES)


@pytest.fixture(name="port")
def start_gateway(gateway: Gateway) -> int:
    return gateway.start("127.0.0.1:0")


@pytest.fixture(name="channel")
def open_channel(port: int) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=PLAIN) as channel:
        yield channel


@pytest.fixture(name="datasets")
def make_dataset_stub(channel: grpc.Channel) -> dataset_service_pb2_grpc.DatasetServiceStub:
    return dataset_service_pb2_grpc.DatasetServiceStub(channel)


@pytest.fixture(name="jobs")
def make_job_stub(channel: grpc.Channel) -> job_service_pb2_grpc.JobServiceStub:
    return job_service_pb2_grpc.JobServiceStub(channel)


@pytest.fixture(name="client")
def make_client(port: int) -> Iterator[Client]:
    with Client(f"127.0.0.1:{port}", timeout_seconds=20) as client:
        yield client


@pytest.fixture
def dataset(client: Client) -> dataset_pb2.Dataset:
    """Three clear clusters in columns a and b, some cells missing, a text, a coordinate, a constant."""
    return client.upload_dataset(io.BytesIO(table()), display_name="three.csv")


def table(row_count: int = 150) -> bytes:
    generator = np.random.default_rng(3)
    lines = ["longitude,a,b,farm,flat"]
    for row in range(row_count):
        a, b = generator.normal(loc=[(0, 0), (6, 0), (0, 6)][row % 3], scale=0.5)
        missing = row in {10, 70}
        lines.append(f"{row / 100},{'' if missing else a},{b},{'North' if row % 2 else 'South'},1")
    return "\n".join(lines).encode()


@pytest.fixture(name="table")
def make_table() -> bytes:
    return table()


@pytest.fixture(name="done")
def make_done() -> Callable[[TaskKey], TaskOutcome]:
    return done


@pytest.fixture(name="failed")
def make_failed() -> Callable[[TaskKey], TaskOutcome]:
    return failed


@pytest.fixture
def upload_messages() -> Callable[..., Iterator[dataset_service_pb2.UploadDatasetRequest]]:
    def messages(*chunks: bytes, **header: object) -> Iterator[dataset_service_pb2.UploadDatasetRequest]:
        yield dataset_service_pb2.UploadDatasetRequest(header={"display_name": "t.csv", **header})
        for chunk in chunks:
            yield dataset_service_pb2.UploadDatasetRequest(chunk=chunk)

    return messages


@pytest.fixture
def settle() -> Callable[[Callable[[], bool]], None]:
    """Ask until it is so; for what another thread of the server does after the answer is out."""

    def wait(is_so: Callable[[], bool], timeout_seconds: float = 10.0) -> None:
        deadline = datetime.now(UTC) + timedelta(seconds=timeout_seconds)
        while not is_so():
            assert datetime.now(UTC) < deadline, "it never came to be"

    return wait


@pytest.fixture
def calls_end(monkeypatch: pytest.MonkeyPatch) -> Callable[[], threading.Event]:
    """Set when the gateway knows that the newest call of JobService ended; `cancel` does not wait for it."""
    contexts: list[grpc.ServicerContext] = []
    owner_of = gateway_jobs.owner_of

    def noted(context: grpc.ServicerContext) -> str:
        contexts.append(context)
        return owner_of(context)

    def of_newest() -> threading.Event:
        ended = threading.Event()
        if not contexts[-1].add_callback(ended.set):
            ended.set()
        return ended

    monkeypatch.setattr(gateway_jobs, "owner_of", noted)
    return of_newest
