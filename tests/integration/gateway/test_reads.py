"""Calls that look into a stored table: few do at once, and none goes on when nobody waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import grpc
import pytest
from kmeans.v1 import dataset_pb2, dataset_service_pb2, job_pb2, job_service_pb2

from kmeans_client import Client
from services.gateway import reads
from services.gateway.turns import Turns


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Turns:
    """Those of the gateway that starts next."""
    made = Turns(reads._READERS)
    monkeypatch.setattr(reads, "Turns", lambda _: made)
    return made


@pytest.fixture
def settings(settings: Any, turns: Turns) -> Any:
    return settings


@contextmanager
def all_taken(turns: Turns) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(reads._READERS):
            stack.enter_context(turns.take(lambda: None))
        yield


def test_whoever_looks_into_a_table_waits_for_its_turn_and_no_longer_than_its_client(
    client: Client,
    datasets: Any,
    jobs: Any,
    bench: Any,
    dataset: dataset_pb2.Dataset,
    turns: Turns,
    settle: Callable[..., None],
) -> None:
    spec = job_pb2.JobSpec(dataset=dataset.name, max_k=1, n_experiments=1)
    name = client.create_job(spec).job.name
    bench.run(name)
    calls: list[Callable[..., object]] = [
        partial(datasets.SampleDataset, dataset_service_pb2.SampleDatasetRequest(name=dataset.name)),
        partial(jobs.CreateJob, job_service_pb2.CreateJobRequest(spec=spec, validate_only=True)),
        lambda **options: list(
            jobs.StreamLabels(job_service_pb2.StreamLabelsRequest(name=name, min_members=1), **options)
        ),
    ]
    with all_taken(turns):
        for call in calls:
            with pytest.raises(grpc.RpcError) as waited:
                call(timeout=0.3)
            assert waited.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        settle(lambda: not turns._line)
    for call in calls:
        call(timeout=20)
