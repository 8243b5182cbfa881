"""Limits of an owner through a real channel: the code, the reason, whose it is, and when to ask again."""

from __future__ import annotations

import io
import threading
import uuid
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from kmeans.v1 import job_pb2, job_service_pb2

from kmeans_client import Client, KMeansError
from services.core.settings import Settings


@pytest.fixture
def settings(table: bytes) -> Settings:
    return Settings(rpc_threads=8, max_owner_jobs=1, max_owner_tasks=12, max_owner_bytes=2 * len(table))


def spec(dataset: Any, max_k: int = 1) -> job_pb2.JobSpec:
    return job_pb2.JobSpec(dataset=dataset.name, max_k=max_k, n_experiments=1)


def details(error: grpc.RpcError) -> dict[str, Any]:
    status = rpc_status.from_call(error)
    assert status is not None
    found: dict[str, Any] = {}
    for packed in status.details:
        for kind in (
            error_details_pb2.ErrorInfo,
            error_details_pb2.QuotaFailure,
            error_details_pb2.RetryInfo,
        ):
            message = kind()
            if packed.Unpack(message):
                found[kind.__name__] = message
    return found


def test_one_job_more_than_may_be(dataset: Any, client: Client, jobs: Any) -> None:
    first = client.create_job(spec(dataset)).job
    with pytest.raises(grpc.RpcError) as refused:
        jobs.CreateJob(job_service_pb2.CreateJobRequest(spec=spec(dataset)), timeout=20)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    told = details(refused.value)
    assert (told["ErrorInfo"].reason, told["ErrorInfo"].metadata["limit"]) == ("TOO_MANY_JOBS", "1")
    assert told["QuotaFailure"].violations[0].subject == "owner:"
    assert told["RetryInfo"].retry_delay.seconds > 0
    client.cancel_job(first.name)
    assert client.create_job(spec(dataset)).job.name


def test_a_job_that_never_fits(dataset: Any, client: Client, jobs: Any) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        jobs.CreateJob(job_service_pb2.CreateJobRequest(spec=spec(dataset, max_k=3)), timeout=20)
    told = details(refused.value)
    assert told["ErrorInfo"].reason == "TOO_MANY_TASKS"
    assert "RetryInfo" not in told


def test_validate_only_tells_it_too(dataset: Any, client: Client) -> None:
    with pytest.raises(KMeansError) as refused:
        client.create_job(spec(dataset, max_k=3), validate_only=True)
    assert refused.value.reason == "TOO_MANY_TASKS"
    assert client.create_job(spec(dataset, max_k=2), validate_only=True).planned_task_count == 12


def test_one_file_more_than_may_be_leaves_nothing(
    dataset: Any, client: Client, table: bytes, backends: Any
) -> None:
    client.upload_dataset(io.BytesIO(table), display_name="second.csv")
    kept = backends.object_keys()
    with pytest.raises(KMeansError) as refused:
        client.upload_dataset(io.BytesIO(table), display_name="third.csv")
    assert (refused.value.code, refused.value.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_BYTES",
    )
    assert refused.value.retry_after_seconds
    assert backends.object_keys() == kept
    client.delete_dataset(dataset.name)
    client.upload_dataset(io.BytesIO(table), display_name="third.csv")


def test_bytes_that_have_no_room_are_not_taken_in(
    datasets: Any, table: bytes, upload_messages: Any, backends: Any
) -> None:
    """Neither when the header says how many come, nor when the first chunks are too many."""
    over = threading.Event()
    request_id = str(uuid.uuid4())
    large = table + b"\n" + table[table.index(b"\n") + 1 :]
    kept = datasets.UploadDataset(upload_messages(large, request_id=request_id), timeout=20)

    def held(**header: Any) -> Any:
        yield from upload_messages(table, **header)
        over.wait(60)

    for header in ({"size_bytes": len(table)}, {}):
        with pytest.raises(grpc.RpcError) as refused:
            datasets.UploadDataset(held(**header), timeout=20)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details(refused.value)["ErrorInfo"].reason == "TOO_MANY_BYTES"
    over.set()
    assert len(backends.files()) == 2
    # What is there already takes no more room.
    sent = upload_messages(large, request_id=request_id, size_bytes=len(large))
    assert datasets.UploadDataset(sent, timeout=20) == kept


def test_streams_that_are_all_taken_say_when_to_come_again(
    datasets: Any, settings: Settings, backends: Any, upload_messages: Any, settle: Any
) -> None:
    go_on = threading.Event()

    def held() -> Any:
        yield from upload_messages(b"a,b\n1,2\n")
        go_on.wait(30)

    calls = [datasets.UploadDataset.future(held(), timeout=60) for _ in range(settings.rpc_threads // 2)]
    # Each has its place once its first bytes lie in the object store.
    settle(lambda: len(backends.files()) == len(calls))
    with pytest.raises(grpc.RpcError) as refused:
        datasets.UploadDataset(upload_messages(b"a,b\n1,2\n"), timeout=20)
    told = details(refused.value)
    assert told["ErrorInfo"].reason == "TOO_MANY_STREAMS"
    assert told["RetryInfo"].retry_delay.seconds > 0
    go_on.set()
    assert all(call.result(timeout=30).row_count == 1 for call in calls)
