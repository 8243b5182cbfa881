"""What downloads and predictions hold while nobody takes them: bounded, and told to who does not fit."""

from __future__ import annotations

import io
import queue
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import grpc
import pytest
from kmeans.v1 import dataset_pb2, job_pb2, job_service_pb2

from kmeans_client import Client, KMeansError
from services.core.settings import Settings
from services.gateway import server
from services.gateway.memory import Memory


@pytest.fixture
def settings(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Memory for one stream at a time, which nobody waits for."""
    monkeypatch.setattr(server, "Memory", lambda *_: Memory(1 << 20, 1 << 20, wait_seconds=0.0))
    return settings


def test_what_a_stream_holds_is_bounded_in_all(
    client: Client, jobs: Any, bench: Any, dataset: dataset_pb2.Dataset
) -> None:
    """A prediction that pauses holds its model: beside it a download has to wait, and fits after it."""
    name = client.create_job(job_pb2.JobSpec(dataset=dataset.name, max_k=1, n_experiments=1)).job.name
    (task, *_) = (f"{name}/tasks/{key.short_id}" for key in bench.run(name))
    requests: queue.SimpleQueue[job_service_pb2.PredictRequest | None] = queue.SimpleQueue()
    requests.put(job_service_pb2.PredictRequest(header={"task": task}))
    requests.put(job_service_pb2.PredictRequest(rows={"values": [1.0, 2.0]}))
    predicting = jobs.Predict(iter(requests.get, None), timeout=60)
    assert len(next(predicting).labels) == 1
    with pytest.raises(KMeansError) as refused:
        list(client.export_model(task))
    assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.value.reason == "TOO_MUCH_IN_MEMORY"
    assert refused.value.retry_after_seconds
    for stream in (
        partial(jobs.StreamLabels, job_service_pb2.StreamLabelsRequest(name=task)),
        partial(jobs.ExportLabels, job_service_pb2.ExportLabelsRequest(name=task)),
    ):
        with pytest.raises(grpc.RpcError) as full:
            list(stream(timeout=20))
        assert full.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    requests.put(None)
    assert list(predicting) == []
    assert list(client.export_model(task))


class _Noting(Memory):
    """Enough for everybody, and what was asked for."""

    asked: list[int]

    def hold(self, owner: str, size_bytes: int, check: Callable[[], None]) -> AbstractContextManager[None]:
        self.asked.append(size_bytes)
        return super().hold(owner, size_bytes, check)


def test_a_download_of_a_table_is_counted_with_the_rows_that_it_holds(
    backends: Any, bench: Any, table: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of text as much as a row group may be, of a few numbers what they take."""
    noting = _Noting(1 << 30, 1 << 30)
    noting.asked = []
    monkeypatch.setattr(server, "Memory", lambda *_: noting)
    gateway = server.Gateway(backends.store, backends.queue, backends.objects, Settings())
    numbers = b"\n".join(b",".join(line.split(b",")[1:3]) for line in table.splitlines())
    with Client(f"127.0.0.1:{gateway.start('127.0.0.1:0')}") as client:
        sizes = []
        for content in (table, numbers):
            dataset = client.upload_dataset(io.BytesIO(content), display_name="t.csv")
            spec = job_pb2.JobSpec(dataset=dataset.name, columns=["a", "b"], max_k=1, n_experiments=1)
            name = client.create_job(spec).job.name
            bench.run(name)
            noting.asked.clear()
            assert list(client.export_labels(name, 1))
            assert list(client.stream_labels(name, 1))
            exported, streamed = noting.asked
            sizes.append(exported - streamed)
    gateway.stop(0)
    assert sizes == [24 << 20, 150 * 2 * 8]
