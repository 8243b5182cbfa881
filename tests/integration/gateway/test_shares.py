"""Owners side by side: none can take all places, and none stays whose token was withdrawn."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from kmeans.v1 import (
    dataset_service_pb2,
    dataset_service_pb2_grpc,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
)

from kmeans_client import Client
from kmeans_client.errors import KMeansError, decode
from services.core.settings import Settings
from services.core.tokens import make_token, token_line
from services.gateway import authentication

PLAIN = [("grpc.enable_http_proxy", 0)]
ANN, BEN = make_token(), make_token()


@pytest.fixture
def tokens_file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"{token_line('ann', ANN)}\n{token_line('ben', BEN)}\n")
    return path


@pytest.fixture
def settings(tokens_file: Path) -> Settings:
    return Settings(rpc_threads=8, max_watches=4, tokens_file=tokens_file)


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Ends every stream of the test that does nothing."""
    over = threading.Event()
    yield over
    over.set()


@pytest.fixture
def ann(port: int) -> Iterator[Client]:
    with Client(f"127.0.0.1:{port}", token=ANN, timeout_seconds=20) as client:
        yield client


@pytest.fixture
def ben(port: int) -> Iterator[Client]:
    with Client(f"127.0.0.1:{port}", token=BEN, timeout_seconds=20) as client:
        yield client


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def new_job(client: Client, table: bytes) -> str:
    dataset = client.upload_dataset(io.BytesIO(table), display_name="t.csv")
    return client.create_job(job_pb2.JobSpec(dataset=dataset.name, max_k=1, n_experiments=1)).job.name


def refused(call: Callable[[], object]) -> KMeansError:
    with pytest.raises(grpc.RpcError) as ended:
        call()
    return decode(ended.value, "here")


def test_watches_of_one_owner_leave_places_for_another(
    channel: grpc.Channel, ann: Client, ben: Client, table: bytes
) -> None:
    stub = job_service_pb2_grpc.JobServiceStub(channel)

    def watch(name: str, token: str) -> Any:
        call = stub.WatchJob(job_service_pb2.WatchJobRequest(name=name), metadata=bearer(token), timeout=60)
        next(call)
        return call

    hers, his = new_job(ann, table), new_job(ben, table)
    watches = [watch(hers, ANN) for _ in range(2)]
    error = refused(lambda: watch(hers, ANN))
    assert (error.code, error.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
    assert "You have 2 watches" in error.message
    assert error.retry_after_seconds
    watches += [watch(his, BEN) for _ in range(2)]
    for call in watches:
        call.cancel()


def test_calls_of_one_owner_leave_threads_for_another(
    channel: grpc.Channel, ann: Client, ben: Client, over: threading.Event, settle: Any
) -> None:
    """Calls that never send their message, as the cheapest that hold a thread."""

    def silent() -> Iterator[bytes]:
        over.wait(60)
        yield from ()

    refusals: list[KMeansError] = []

    def is_full() -> bool:
        try:
            list(ann.list_jobs())
        except KMeansError as error:
            refusals.append(error)
            return True
        return False

    method = channel.stream_unary("/kmeans.v1.JobService/GetJob")
    calls = [method.future(silent(), metadata=bearer(ANN), timeout=60) for _ in range(16)]
    settle(is_full)
    assert list(ben.list_jobs()) == []
    assert (refusals[0].code, refusals[0].reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
    assert refusals[0].retry_after_seconds
    for call in calls:
        call.cancel()
    settle(lambda: not is_full())


@pytest.mark.parametrize("what", ["watch", "upload", "predict"])
def test_a_withdrawn_token_ends_what_is_under_way(
    what: str,
    channel: grpc.Channel,
    ann: Client,
    ben: Client,
    bench: Any,
    backends: Any,
    settle: Any,
    table: bytes,
    tokens_file: Path,
    over: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(authentication, "RECHECK_SECONDS", 0.05)
    jobs = job_service_pb2_grpc.JobServiceStub(channel)
    datasets = dataset_service_pb2_grpc.DatasetServiceStub(channel)
    name = new_job(ann, table)

    def upload() -> Iterator[dataset_service_pb2.UploadDatasetRequest]:
        yield dataset_service_pb2.UploadDatasetRequest(header={"display_name": "t.csv"})
        yield dataset_service_pb2.UploadDatasetRequest(chunk=b"a,b\n")
        over.wait(60)

    def rows() -> Iterator[job_service_pb2.PredictRequest]:
        yield job_service_pb2.PredictRequest(header={"task": f"{name}/tasks/0-1-full-untied"})
        yield job_service_pb2.PredictRequest(rows={"values": [1.0, 2.0]})
        over.wait(60)

    if what == "watch":
        call: Any = jobs.WatchJob(
            job_service_pb2.WatchJobRequest(name=name), metadata=bearer(ANN), timeout=60
        )
        next(call)
    elif what == "predict":
        bench.run(name)
        call = jobs.Predict(rows(), metadata=bearer(ANN), timeout=60)
        assert len(next(call).labels) == 1
    else:
        before = len(backends.files())
        future = datasets.UploadDataset.future(upload(), metadata=bearer(ANN), timeout=60)
        settle(lambda: len(backends.files()) > before)
    tokens_file.write_text(token_line("ben", BEN))
    error = refused(future.result if what == "upload" else lambda: list(call))
    assert (error.code, error.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
    assert ben.upload_dataset(io.BytesIO(table), display_name="t.csv").name
