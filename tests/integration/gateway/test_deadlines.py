"""A client's deadline reaches the backends: no thread waits there for a client that has gone."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import grpc
import pytest
from kmeans.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

from kmeans_client import Client
from services.backends.sqlite import SqliteStore
from services.core.settings import Settings

THREADS = 4
LONGER_THAN_THE_TEST_SECONDS = 300.0


@pytest.fixture
def settings() -> Settings:
    return Settings(rpc_threads=THREADS)


@pytest.fixture(name="backends")
def make_patient_backends(backends: Any) -> Iterator[Any]:
    """The store on its usual file, but waiting for other writers as long as it likes."""
    store = SqliteStore(backends.folder / "jobs.sqlite", busy_timeout_seconds=LONGER_THAN_THE_TEST_SECONDS)
    yield replace(backends, store=store)
    store.close()


def codes_of(stub: job_service_pb2_grpc.JobServiceStub, name: str, count: int) -> list[grpc.StatusCode]:
    request = job_service_pb2.CancelJobRequest(name=name)
    calls = [stub.CancelJob.future(request, timeout=0.5) for _ in range(count)]
    return [call.code() for call in calls]


def test_calls_leave_a_store_that_another_process_holds(
    backends: Any,
    jobs: job_service_pb2_grpc.JobServiceStub,
    client: Client,
    dataset: Any,
) -> None:
    """One waits in SQLite, the others for that one: each leaves its thread, for one that only reads."""
    name = client.create_job(job_pb2.JobSpec(dataset=dataset.name, max_k=1, n_experiments=1)).job.name
    with closing(sqlite3.connect(backends.folder / "jobs.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        codes = codes_of(jobs, name, THREADS)
        assert set(codes) <= {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}
        assert jobs.GetJob(job_service_pb2.GetJobRequest(name=name), timeout=30).name == name
        other.execute("ROLLBACK")
    assert client.cancel_job(name).state == job_pb2.JOB_STATE_CANCELLED


def test_calls_leave_a_store_whose_readers_are_all_taken(
    backends: Any, jobs: job_service_pb2_grpc.JobServiceStub, client: Client, settle: Any
) -> None:
    over = threading.Event()
    holding = threading.Barrier(5, timeout=30)

    def hold() -> None:
        with backends.store._database.read():
            holding.wait()
            over.wait(60)

    holders = [threading.Thread(target=hold) for _ in range(4)]
    for holder in holders:
        holder.start()
    holding.wait()
    request = job_service_pb2.GetJobRequest(name="jobs/none")
    calls = [jobs.GetJob.future(request, timeout=0.5) for _ in range(THREADS)]
    assert {call.code() for call in calls} <= {
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNAVAILABLE,
    }
    # Needs a thread and no store.
    with pytest.raises(grpc.RpcError) as refused:
        jobs.GetJob(job_service_pb2.GetJobRequest(name="nonsense"), timeout=30)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    over.set()
    for holder in holders:
        holder.join(30)
