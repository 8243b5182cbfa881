"""Connections that grow old: clients come back on new ones, and nothing under way is cut."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from kmeans.v1 import dataset_pb2, dataset_service_pb2, dataset_service_pb2_grpc, job_pb2

from kmeans_client import Client, has_ended
from services.gateway import jobs as gateway_jobs
from services.gateway.server import Gateway

AGE_SECONDS = 0.3
AGES = 4


@pytest.fixture(name="gateway")
def make_gateway(backends: Any, settings: Any) -> Iterator[Gateway]:
    gateway = Gateway(
        backends.store, backends.queue, backends.objects, settings, connection_age_seconds=AGE_SECONDS
    )
    yield gateway
    gateway.stop(0)


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where each call of JobService came from, in their order."""
    seen: list[str] = []
    owner_of = gateway_jobs.owner_of

    def noted(context: grpc.ServicerContext) -> str:
        seen.append(context.peer())
        return owner_of(context)

    monkeypatch.setattr(gateway_jobs, "owner_of", noted)
    return seen


@pytest.fixture
def name(client: Client, dataset: dataset_pb2.Dataset) -> str:
    spec = job_pb2.JobSpec(dataset=dataset.name, columns=["a", "b"], max_k=2, n_experiments=1)
    return client.create_job(spec).job.name


def grow_old(client: Client, name: str, peers: list[str]) -> None:
    """Call until so many connections more were used."""
    known = len(set(peers))
    while len(set(peers)) < known + AGES:
        client.get_job(name)


def test_calls_move_to_new_connections_and_a_watch_goes_on(
    client: Client, name: str, peers: list[str], bench: Any, done: Any
) -> None:
    keys = bench.start(name)
    steps = client.watch_job(name, max_resumes=0)
    del peers[:]
    seen = [next(steps)]
    (watching_from,) = set(peers)
    grow_old(client, name, peers)
    assert peers[-1] != watching_from
    bench.finish(keys, done)
    bench.close(name)
    seen += list(steps)
    assert has_ended(seen[-1].job)
    assert seen[-1].job.task_counts.done == len(keys)


def test_an_upload_outlives_its_connection(
    client: Client, channel: grpc.Channel, name: str, peers: list[str], upload_messages: Callable[..., Any]
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def messages() -> Iterator[dataset_service_pb2.UploadDatasetRequest]:
        yield from upload_messages(b"a,b\n1,2\n")
        begun.set()
        go_on.wait(60)
        yield dataset_service_pb2.UploadDatasetRequest(chunk=b"3,4\n")

    upload = dataset_service_pb2_grpc.DatasetServiceStub(channel).UploadDataset.future(messages())
    assert begun.wait(60)
    grow_old(client, name, peers)
    go_on.set()
    assert upload.result(timeout=60).row_count == 2
