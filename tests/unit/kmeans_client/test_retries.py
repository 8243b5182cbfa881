"""The retry policy as data, and in use against a server that fails at first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kmeans.v1 import job_pb2, job_service_pb2, job_service_pb2_grpc

from kmeans_client import Client, KMeansError, Unreachable
from kmeans_client.channel import retry_policy
from kmeans_client.watching import resume_delay_seconds
from tests.public_api import public_methods

# Repeating these could do something twice, or cannot be done by gRPC: a stream of requests is gone, and a
# stream of answers whose server is killed before the first one may be waited for in vain.
NOT_REPEATED = {
    "kmeans.v1.DatasetService/UploadDataset",
    "kmeans.v1.DatasetService/DeleteDataset",
    "kmeans.v1.JobService/DeleteJob",
    "kmeans.v1.JobService/RetryJob",
    "kmeans.v1.JobService/Predict",
    "kmeans.v1.JobService/ExportLabels",
    "kmeans.v1.JobService/ExportModel",
    "kmeans.v1.JobService/StreamLabels",
    "kmeans.v1.JobService/WatchJob",
}


class Flaky:
    """Answers UNAVAILABLE so many times, then well; counts the calls.

    Where it is stopping, it drops them unanswered instead, as gRPC does in the moment in which it stops.
    """

    def __init__(self) -> None:
        self.failures = 0
        self.is_stopping = False
        self.details: bytes | None = None
        self.calls: list[str] = []
        self.requests: list[bytes] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.calls.append(method.rpartition("/")[2])
            self.requests.append(request)
            if len(self.calls) <= self.failures:
                if self.is_stopping:
                    context.cancel()
                    return b""
                if self.details is not None:
                    context.set_trailing_metadata((("grpc-status-details-bin", self.details),))
                context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
            job = job_pb2.Job(name="jobs/a")
            if method.endswith("/CreateJob"):
                return job_service_pb2.CreateJobResponse(job=job).SerializeToString()
            return job.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(answer)


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, flaky: Flaky) -> None:
        self.service = flaky.service  # type: ignore[method-assign, assignment]

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        raise NotImplementedError


@pytest.fixture
def flaky() -> Flaky:
    return Flaky()


@pytest.fixture
def target(flaky: Flaky) -> Iterator[str]:
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, handlers=[_Handler(flaky)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(0).wait()


@pytest.fixture
def client(target: str) -> Iterator[Client]:
    with Client(target, timeout_seconds=20) as client:
        yield client


def shipped_policy() -> str:
    return resources.files("kmeans_client").joinpath("service_config.json").read_text("utf-8")


def repeated_by(policy: dict[str, Any]) -> set[str]:
    return {
        f"{name['service']}/{name['method']}" for entry in policy["methodConfig"] for name in entry["name"]
    }


def test_the_policy_decides_on_every_rpc() -> None:
    policy = json.loads(retry_policy())
    repeated = repeated_by(policy)
    rpcs = {f"{method.containing_service.full_name}/{method.name}" for method in public_methods()}
    assert repeated | NOT_REPEATED == rpcs
    assert not repeated & NOT_REPEATED
    # Without a request_id, which a stranger's call need not have, this one is not safe to repeat.
    assert repeated - repeated_by(json.loads(shipped_policy())) == {"kmeans.v1.JobService/CreateJob"}
    for entry in policy["methodConfig"]:
        assert entry["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE", "CANCELLED"]
        assert 2 <= entry["retryPolicy"]["maxAttempts"] <= 5


def test_a_call_that_is_safe_to_repeat_is_repeated(client: Client, flaky: Flaky) -> None:
    flaky.failures = 2
    assert client.get_job("jobs/a").name == "jobs/a"
    assert flaky.calls == ["GetJob"] * 3


def test_a_call_that_was_dropped_unanswered_is_repeated(client: Client, flaky: Flaky) -> None:
    flaky.failures, flaky.is_stopping = 2, True
    assert client.get_job("jobs/a").name == "jobs/a"
    assert flaky.calls == ["GetJob"] * 3


def test_a_call_that_was_dropped_and_is_not_repeated_met_no_service(client: Client, flaky: Flaky) -> None:
    flaky.failures, flaky.is_stopping = 1, True
    with pytest.raises(Unreachable) as failed:
        client.retry_job("jobs/a")
    assert (failed.value.code, failed.value.reason) == (grpc.StatusCode.CANCELLED, "UNREACHABLE")
    assert "ended the call unanswered" in str(failed.value)
    assert flaky.calls == ["RetryJob"]


def test_our_client_repeats_the_creation_of_a_job_under_one_request_id(client: Client, flaky: Flaky) -> None:
    flaky.failures = 2
    assert client.create_job(job_pb2.JobSpec(dataset="datasets/a")).job.name == "jobs/a"
    assert flaky.calls == ["CreateJob"] * 3
    (request_id,) = {job_service_pb2.CreateJobRequest.FromString(sent).request_id for sent in flaky.requests}
    assert request_id


def test_who_copies_the_policy_does_not_repeat_the_creation_of_a_job(target: str, flaky: Flaky) -> None:
    flaky.failures = 1
    options = [("grpc.service_config", shipped_policy()), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(target, options=options) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        with pytest.raises(grpc.RpcError) as failed:
            stub.CreateJob(job_service_pb2.CreateJobRequest(), timeout=20)
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        assert flaky.calls == ["CreateJob"]
        flaky.failures = 3
        assert stub.GetJob(job_service_pb2.GetJobRequest(), timeout=20).name == "jobs/a"


def test_a_call_that_is_not_safe_to_repeat_is_not_repeated(client: Client, flaky: Flaky) -> None:
    flaky.failures = 1
    with pytest.raises(KMeansError) as failed:
        client.retry_job("jobs/a")
    assert failed.value.code is grpc.StatusCode.UNAVAILABLE
    assert flaky.calls == ["RetryJob"]


def test_repeating_is_bounded(client: Client, flaky: Flaky) -> None:
    flaky.failures = 100
    with pytest.raises(Unreachable):
        client.get_job("jobs/a")
    assert len(flaky.calls) <= 5


def test_a_damaged_status_is_still_an_error(client: Client, flaky: Flaky) -> None:
    flaky.failures, flaky.details = 1, b"\xff\xff\xff"
    with pytest.raises(KMeansError) as failed:
        client.delete_job("jobs/a")
    assert "not now" in str(failed.value)


def test_nobody_at_the_address() -> None:
    with Client("127.0.0.1:1") as client:
        with pytest.raises(Unreachable) as failed:
            client.delete_job("jobs/a")
        assert "127.0.0.1:1" in str(failed.value)
        assert (failed.value.code, failed.value.reason) == (grpc.StatusCode.UNAVAILABLE, "UNREACHABLE")
        with pytest.raises(Unreachable):
            client.wait_until_ready(0.05)


def test_a_watch_that_never_began_fails_at_once() -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(Unreachable):
        next(client.watch_job("jobs/a"))


@given(st.integers(0, 1000), st.floats(0, 1))
def test_delays_are_bounded_and_never_zero(resumes: int, chance: float) -> None:
    assert 0.1 <= resume_delay_seconds(resumes, chance) <= 5.0


def test_delays_grow() -> None:
    delays = [resume_delay_seconds(resumes, 0.5) for resumes in range(8)]
    assert delays == sorted(delays)
    assert delays[0] < 0.2 < 3 < delays[-1]
