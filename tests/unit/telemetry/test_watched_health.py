"""The health service through a real channel: states, changes, and watchers that go away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.telemetry.watched_health import HealthServicer

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
POOL_THREADS = 4


@pytest.fixture(name="servicer")
def make_servicer() -> HealthServicer:
    return HealthServicer(("", "readiness"))


@pytest.fixture(name="server")
def start_server(servicer: HealthServicer) -> Iterator[grpc.Server]:
    server = grpc.server(ThreadPoolExecutor(POOL_THREADS))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    yield server
    server.stop(0)


@pytest.fixture(name="health")
def open_health(server: grpc.Server) -> Iterator[health_pb2_grpc.HealthStub]:
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield health_pb2_grpc.HealthStub(channel)


def request(service: str = "") -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


def test_a_check_tells_the_state_of_its_service(
    servicer: HealthServicer, health: health_pb2_grpc.HealthStub
) -> None:
    servicer.set("readiness", serving=True)
    assert health.Check(request("readiness")).status == SERVING
    assert health.Check(request()).status == NOT_SERVING
    with pytest.raises(grpc.RpcError) as refused:
        health.Check(request("nobody"))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert "nobody" in refused.value.details()


def test_a_watch_tells_changes_only(servicer: HealthServicer, health: health_pb2_grpc.HealthStub) -> None:
    watch = health.Watch(request("readiness"), timeout=30)
    assert next(watch).status == NOT_SERVING
    servicer.set("readiness", serving=False)
    servicer.set("readiness", serving=True)
    assert next(watch).status == SERVING
    servicer.stop()
    assert next(watch).status == NOT_SERVING
    servicer.set("readiness", serving=True)
    assert health.Check(request("readiness")).status == NOT_SERVING
    watch.cancel()
    assert next(health.Watch(request("nobody"), timeout=30)).status == UNKNOWN


def test_watchers_that_go_away_while_they_are_told_stop_nobody(
    server: grpc.Server, servicer: HealthServicer, health: health_pb2_grpc.HealthStub
) -> None:
    watches = [health.Watch(request(), timeout=60) for _ in range(16 * POOL_THREADS)]
    assert all(next(watch).status == NOT_SERVING for watch in watches)
    telling = threading.Thread(target=lambda: [servicer.set("", serving=bool(n % 2)) for n in range(20)])
    telling.start()
    for watch in watches:
        watch.cancel()
    telling.join(30)
    assert not telling.is_alive()
    assert health.Check(request(), timeout=30).status == SERVING
    assert server.stop(0).wait(30)
