"""The server itself: health, reflection, limits, what is not built, start and stop."""

from __future__ import annotations

import threading
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from kmeans.v1 import dataset_service_pb2

from kmeans_client import Client, KMeansError
from services.core.errors import FailedPrecondition, InvalidInput
from services.gateway.server import SERVICES, Gateway

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_health_per_service_and_over_all(channel: grpc.Channel, service: str) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    assert health.Check(health_pb2.HealthCheckRequest(service=service)).status == SERVING


def test_health_of_an_unknown_service(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="kmeans.v9"))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_health_says_not_serving_before_anything_else_ends(
    channel: grpc.Channel, gateway: Gateway, client: Client
) -> None:
    watches = [
        health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=service), timeout=30)
        for service in ("", *SERVICES)
    ]
    assert [next(watch).status for watch in watches] == [SERVING] * 3
    gateway.announce_stop()
    assert [next(watch).status for watch in watches] == [NOT_SERVING] * 3
    assert list(client.list_jobs()) == []
    for watch in watches:
        watch.cancel()


def test_watching_health_takes_no_thread(channel: grpc.Channel, client: Client, settings: Any) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    watches = [
        health.Watch(health_pb2.HealthCheckRequest(), timeout=30) for _ in range(3 * settings.rpc_threads)
    ]
    assert all(next(watch).status == SERVING for watch in watches)
    assert list(client.list_jobs()) == []
    for watch in watches:
        watch.cancel()


def test_reflection_lists_the_services(channel: grpc.Channel) -> None:
    answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10
    )
    names = {service.name for service in next(answers).list_services_response.service}
    assert names >= {*SERVICES, "grpc.health.v1.Health"}


def test_a_message_over_the_limit_is_refused(datasets: Any) -> None:
    huge = dataset_service_pb2.UploadDatasetRequest(chunk=b"x" * (4 << 20))
    with pytest.raises(grpc.RpcError) as refused:
        datasets.UploadDataset(iter([huge]), timeout=10)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_mistake_of_ours_leaks_nothing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: Any) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("services.gateway.jobs.parse_job", break_down)
    with pytest.raises(KMeansError) as failed:
        client.get_job("jobs/a")
    assert failed.value.code is grpc.StatusCode.INTERNAL
    assert failed.value.metadata["reference"] in str(failed.value)
    assert "hunter2" not in repr(failed.value)


def test_a_store_that_is_gone_is_unavailable(client: Client, backends: Any) -> None:
    backends.store.close()
    with pytest.raises(KMeansError) as failed:
        client.delete_job("jobs/a")
    assert (failed.value.code, failed.value.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_CLOSED")
    assert failed.value.retry_after_seconds == 1


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "unix:/tmp/kmeans.sock", "nonsense"])
def test_an_address_that_is_none(backends: Any, settings: Any, address: str) -> None:
    gateway = Gateway(backends.store, backends.queue, backends.objects, settings)
    with pytest.raises(InvalidInput) as refused:
        gateway.start(address)
    assert refused.value.reason == "BAD_ADDRESS"
    gateway.stop(0)


@pytest.mark.parametrize("address", ["taken", "192.0.2.1:0"])
def test_an_address_that_cannot_be_had(backends: Any, settings: Any, port: int, address: str) -> None:
    second = Gateway(backends.store, backends.queue, backends.objects, settings)
    with pytest.raises(FailedPrecondition) as refused:
        second.start(f"127.0.0.1:{port}" if address == "taken" else address)
    assert refused.value.reason == "ADDRESS_NOT_AVAILABLE"
    assert "KMEANS_ADDRESS" in str(refused.value)
    second.stop(0)


def test_stopping_waits_for_the_calls_under_way(
    datasets: Any, gateway: Gateway, upload_messages: Any, backends: Any, settle: Any
) -> None:
    go_on = threading.Event()

    def messages() -> Any:
        yield from upload_messages(b"a,b\n1,2\n")
        go_on.wait(20)
        yield dataset_service_pb2.UploadDatasetRequest(chunk=b"3,4\n")

    call = datasets.UploadDataset.future(messages())
    settle(lambda: bool(backends.files()))
    stopper = threading.Thread(target=gateway.stop, args=(20,))
    stopper.start()
    go_on.set()
    assert call.result(timeout=20).row_count == 2
    stopper.join(20)
    assert not stopper.is_alive()
    gateway.stop(0)
