"""A gateway that listens before its backends are open says so, and not to those who may not call at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from kmeans.v1 import dataset_service_pb2 as datasets
from kmeans.v1 import job_service_pb2 as jobs

from kmeans_client import Client, KMeansError, Unreachable
from services.backends.awaited import AwaitedBackends
from services.core.errors import QueueUnavailable
from services.core.settings import Settings
from services.core.tokens import make_token
from services.gateway.server import SERVICES, Gateway
from tests.integration.gateway.test_server import NOT_SERVING, SERVING
from tests.integration.gateway.test_tokens import PLAIN

ID = uuid.uuid4().hex
JOB, DATASET, TASK = f"jobs/{ID}", f"datasets/{ID}", f"jobs/{ID}/tasks/1-2-full-tied"

# What a client would send; of streams of requests, the first message.
CALLS: dict[str, Any] = {
    "UploadDataset": datasets.UploadDatasetRequest(header={"display_name": "t.csv"}),
    "GetDataset": datasets.GetDatasetRequest(name=DATASET),
    "ListDatasets": datasets.ListDatasetsRequest(),
    "DeleteDataset": datasets.DeleteDatasetRequest(name=DATASET),
    "SampleDataset": datasets.SampleDatasetRequest(name=DATASET),
    "GetCorrelation": datasets.GetCorrelationRequest(name=DATASET),
    "CreateJob": jobs.CreateJobRequest(spec={"dataset": DATASET}),
    "GetJob": jobs.GetJobRequest(name=JOB),
    "ListJobs": jobs.ListJobsRequest(),
    "WatchJob": jobs.WatchJobRequest(name=JOB),
    "CancelJob": jobs.CancelJobRequest(name=JOB),
    "RetryJob": jobs.RetryJobRequest(name=JOB),
    "DeleteJob": jobs.DeleteJobRequest(name=JOB),
    "ListTasks": jobs.ListTasksRequest(parent=JOB),
    "GetTask": jobs.GetTaskRequest(name=TASK),
    "GetReport": jobs.GetReportRequest(name=JOB),
    "GetAgreement": jobs.GetAgreementRequest(name=JOB),
    "StreamLabels": jobs.StreamLabelsRequest(name=JOB),
    "ExportLabels": jobs.ExportLabelsRequest(name=JOB),
    "ExportModel": jobs.ExportModelRequest(name=TASK),
    "Predict": jobs.PredictRequest(header={"task": TASK}),
}
METHODS = [
    method
    for file in (datasets.DESCRIPTOR, jobs.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
]


@dataclass
class Waiting:
    """A gateway that listens; `awaited` opens its backends."""

    gateway: Gateway
    awaited: AwaitedBackends
    target: str


@pytest.fixture
def tokens() -> str:
    return ""


@pytest.fixture(name="waiting")
def start_waiting(tokens: str) -> Iterator[Waiting]:
    awaited = AwaitedBackends()
    there = awaited.backends
    settings = Settings(rpc_threads=8, **({"tokens": tokens} if tokens else {}))  # type: ignore[arg-type]
    gateway = Gateway(there.store, there.queue, there.objects, settings)
    port = gateway.start("127.0.0.1:0", is_ready=False)
    yield Waiting(gateway, awaited, f"127.0.0.1:{port}")
    gateway.stop(0)


def call(target: str, method: Any, token: str = "") -> status_pb2.Status:
    """The status of the refusal of any method, called as gRPC's most general kind of call."""
    with grpc.insecure_channel(target, options=PLAIN) as channel:
        answers = channel.stream_stream(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
        )(
            iter([CALLS[method.name]]),
            timeout=20,
            metadata=[("authorization", f"Bearer {token}")] if token else [],
        )
        with pytest.raises(grpc.RpcError) as refused:
            list(answers)
    for key, value in refused.value.trailing_metadata():
        if key == "grpc-status-details-bin":
            return status_pb2.Status.FromString(value)
    pytest.fail(f"{method.name} was refused without a reason: {refused.value}")


def reason_of(status: status_pb2.Status) -> str:
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return str(info.reason)


def serving(target: str) -> list[int]:
    with grpc.insecure_channel(target, options=PLAIN) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        return [
            health.Check(health_pb2.HealthCheckRequest(service=service), timeout=20).status
            for service in ("", *SERVICES)
        ]


def test_the_calls_tried_here_are_all_there_are() -> None:
    assert {method.name for method in METHODS} == set(CALLS)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_call_is_told_that_the_service_waits_and_when_to_try_again(
    waiting: Waiting, method: Any
) -> None:
    status = call(waiting.target, method)
    assert (status.code, reason_of(status)) == (grpc.StatusCode.UNAVAILABLE.value[0], "STORE_UNAVAILABLE")
    retry = error_details_pb2.RetryInfo()
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.seconds == 1


def test_the_reason_is_that_of_the_last_attempt(waiting: Waiting) -> None:
    waiting.awaited.note(QueueUnavailable("There is no connection to the broker."))
    with Client(waiting.target) as client, pytest.raises(KMeansError, match="to the broker") as refused:
        client.delete_job(JOB)
    assert (refused.value.reason, refused.value.retry_after_seconds) == ("QUEUE_UNAVAILABLE", 1)


def test_once_the_backends_are_open_the_same_connection_serves(waiting: Waiting, backends: Any) -> None:
    with Client(waiting.target, timeout_seconds=20) as client:
        with pytest.raises(KMeansError):
            client.retry_job(JOB)
        assert serving(waiting.target) == [NOT_SERVING] * 3
        with pytest.raises(Unreachable):
            client.wait_until_ready(0.3)
        waiting.awaited.open(backends)
        waiting.gateway.announce_ready()
        client.wait_until_ready(20)
        assert list(client.list_jobs()) == []
        assert serving(waiting.target) == [SERVING] * 3


def test_readiness_does_not_come_back_after_the_end_was_announced(waiting: Waiting) -> None:
    waiting.gateway.announce_stop()
    waiting.gateway.announce_ready()
    assert serving(waiting.target) == [NOT_SERVING] * 3


class TestWithTokens:
    TOKEN = make_token()

    @pytest.fixture
    def tokens(self) -> str:
        return f"ann:{self.TOKEN}"

    @pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
    def test_nobody_learns_more_without_a_token_than_later(self, waiting: Waiting, method: Any) -> None:
        assert reason_of(call(waiting.target, method)) == "TOKEN_MISSING"
        assert reason_of(call(waiting.target, method, make_token())) == "TOKEN_INVALID"
        assert reason_of(call(waiting.target, method, self.TOKEN)) == "STORE_UNAVAILABLE"
