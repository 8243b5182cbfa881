"""What a probe is told, over a real channel, of a process in good and bad days."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.core.errors import FailedPrecondition, StoreUnavailable
from services.telemetry.health import LIVENESS, READINESS, HealthServer

PATIENCE_SECONDS = 60
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Probe:
    """Asks as a kubelet does, and waits for changes as it never would."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = health_pb2_grpc.HealthStub(channel)

    def asks(self, service: str) -> int:
        request = health_pb2.HealthCheckRequest(service=service)
        return int(self._stub.Check(request, timeout=PATIENCE_SECONDS).status)

    def awaits(self, service: str, status: int) -> None:
        request = health_pb2.HealthCheckRequest(service=service)
        changes = self._stub.Watch(request, timeout=PATIENCE_SECONDS)
        assert any(change.status == status for change in changes)
        changes.cancel()


@pytest.fixture
def server() -> Iterator[HealthServer]:
    made = HealthServer(interval_seconds=0.01, patience_seconds=0.05)
    yield made
    made.stop()


@pytest.fixture
def probe(server: HealthServer) -> Iterator[Probe]:
    port = server.start("127.0.0.1:0")
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Probe(channel)


def answers() -> None:
    pass


def test_a_process_that_waits_for_its_servers_is_alive_and_not_ready(probe: Probe) -> None:
    assert probe.asks(LIVENESS) == SERVING
    assert probe.asks(READINESS) == probe.asks("") == NOT_SERVING


def test_readiness_follows_the_servers_and_liveness_does_not(server: HealthServer, probe: Probe) -> None:
    away = threading.Event()

    def ping() -> None:
        if away.is_set():
            raise StoreUnavailable("The job store does not answer.")

    server.watch(lambda: True, ping)
    probe.awaits(READINESS, SERVING)
    away.set()
    probe.awaits(READINESS, NOT_SERVING)
    probe.awaits("", NOT_SERVING)
    assert probe.asks(LIVENESS) == SERVING
    away.clear()
    probe.awaits(READINESS, SERVING)


def test_whoever_tells_metrics_hears_what_probes_are_told() -> None:
    heard: list[bool] = []
    ready = threading.Event()

    def hear(is_ready: bool) -> None:
        heard.append(is_ready)
        if is_ready:
            ready.set()

    server = HealthServer(interval_seconds=0.01, on_ready=hear)
    assert heard == [False]
    server.watch(lambda: True, answers)
    assert ready.wait(PATIENCE_SECONDS)
    server.stop()
    assert heard[-1] is False


def test_a_server_that_hangs_is_one_that_does_not_answer(server: HealthServer, probe: Probe) -> None:
    hang, released = threading.Event(), threading.Event()

    def ping() -> None:
        if hang.is_set():
            assert released.wait(PATIENCE_SECONDS)

    server.watch(lambda: True, ping)
    probe.awaits(READINESS, SERVING)
    hang.set()
    probe.awaits(READINESS, NOT_SERVING)
    assert probe.asks(LIVENESS) == SERVING
    hang.clear()
    released.set()
    probe.awaits(READINESS, SERVING)


def test_an_unexpected_error_makes_it_unready_and_does_not_end_the_watch(
    server: HealthServer, probe: Probe
) -> None:
    errors = [ValueError("a bug")]

    def ping() -> None:
        if errors:
            raise errors.pop()

    server.watch(lambda: True, ping)
    probe.awaits(READINESS, SERVING)


def test_who_does_no_work_is_neither_alive_nor_ready(server: HealthServer, probe: Probe) -> None:
    dead = threading.Event()
    server.watch(lambda: not dead.is_set(), answers)
    probe.awaits(READINESS, SERVING)
    dead.set()
    probe.awaits(LIVENESS, NOT_SERVING)
    probe.awaits(READINESS, NOT_SERVING)


def test_a_process_that_ends_is_not_ready_and_stays_alive_until_it_is_gone(
    server: HealthServer, probe: Probe
) -> None:
    server.watch(lambda: True, answers)
    probe.awaits(READINESS, SERVING)
    server.announce_stop()
    assert probe.asks(READINESS) == probe.asks("") == NOT_SERVING
    assert probe.asks(LIVENESS) == SERVING


def test_an_address_that_is_taken_is_told(server: HealthServer) -> None:
    port = server.start("127.0.0.1:0")
    second = HealthServer()
    with pytest.raises(FailedPrecondition, match="KMEANS_HEALTH_ADDRESS") as caught:
        second.start(f"127.0.0.1:{port}")
    assert caught.value.reason == "ADDRESS_NOT_AVAILABLE"
    second.stop()
