"""Callers without a token: whatever they open and leave lying, owners are served, and probes are answered."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from kmeans.v1 import job_service_pb2, job_service_pb2_grpc

from kmeans_client.errors import decode
from services.core.settings import Settings
from services.core.tokens import make_token, token_line
from services.gateway.server import Gateway

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
LISTING = reflection_pb2.ServerReflectionRequest(list_services="")
THREADS = 8
ANN = make_token()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "tokens"
    path.write_text(f"{token_line('ann', ANN)}\n")
    return Settings(rpc_threads=THREADS, max_watches=4, tokens_file=path)


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Ends every stream of the test that does nothing."""
    over = threading.Event()
    yield over
    over.set()


@pytest.mark.parametrize(
    ("method", "sent"),
    [(CHECK, ()), (WATCH, ()), (REFLECTION, ()), (REFLECTION, (LISTING.SerializeToString(),))],
    ids=["check", "watch", "reflection", "reflection that paused"],
)
def test_silent_calls_leave_owners_and_probes_their_threads(
    channel: grpc.Channel, over: threading.Event, method: str, sent: tuple[bytes, ...]
) -> None:
    """They come first and on the same connection, so that they are with the gateway before what is asked."""

    def silent() -> Iterator[bytes]:
        yield from sent
        over.wait(60)

    calls = [channel.stream_stream(method)(silent(), timeout=60) for _ in range(3 * THREADS)]
    with pytest.raises(grpc.RpcError) as refused:
        job_service_pb2_grpc.JobServiceStub(channel).GetJob(
            job_service_pb2.GetJobRequest(name="jobs/none"),
            metadata=(("authorization", f"Bearer {ANN}"),),
            timeout=20,
        )
    assert decode(refused.value, "here").reason == "JOB_NOT_FOUND"
    health = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest()
    assert health.Check(request, timeout=20).status == health_pb2.HealthCheckResponse.SERVING
    assert next(health.Watch(request, timeout=20)).status == health_pb2.HealthCheckResponse.SERVING
    reflected = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
        iter([LISTING]), timeout=20
    )
    assert next(reflected).list_services_response.service
    # Who waited longest gave way to them.
    with pytest.raises(grpc.RpcError) as ended:
        list(calls[0])
    assert ended.value.code() is grpc.StatusCode.CANCELLED
    for call in calls:
        call.cancel()


def test_a_probe_without_a_message_is_refused(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        channel.stream_unary(CHECK)(iter(()), timeout=20)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_idle_calls_end_by_themselves(backends: Any, settings: Settings, over: threading.Event) -> None:
    gateway = Gateway(
        backends.store, backends.queue, backends.objects, settings.model_copy(update={"idle_seconds": 0.2})
    )
    port = gateway.start("127.0.0.1:0")

    def silent() -> Iterator[bytes]:
        over.wait(60)
        yield from ()

    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        for method in (CHECK, REFLECTION):
            with pytest.raises(grpc.RpcError) as ended:
                list(channel.stream_stream(method)(silent(), timeout=60))
            assert ended.value.code() is grpc.StatusCode.CANCELLED
    gateway.stop(0)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def watch_and_take_nothing(port: int) -> socket.socket:
    """A watch of health whose client lets no byte of an answer come; the gateway has begun to answer."""

    def text(value: bytes) -> bytes:
        return bytes([len(value)]) + value

    fields = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": WATCH.encode(),
        b":authority": b"here",
        b"content-type": b"application/grpc",
        b"te": b"trailers",
    }
    headers = b"".join(b"\0" + text(name) + text(value) for name, value in fields.items())
    no_window = frame(4, 0, 0, struct.pack(">HI", 4, 0))
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + no_window + frame(4, 1, 0))
    connection.sendall(frame(1, 4, 1, headers) + frame(0, 1, 1, bytes(5)))
    answers = connection.makefile("rb")
    kind = 0
    while kind != 1:
        head = answers.read(9)
        kind = head[3]
        answers.read(int.from_bytes(head[:3], "big"))
    return connection


def test_who_watches_and_takes_nothing_holds_nobody_up(
    gateway: Gateway, port: int, channel: grpc.Channel
) -> None:
    with watch_and_take_nothing(port):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        announcing = threading.Thread(target=gateway.announce_stop)
        announcing.start()
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        announcing.join(30)
        assert not announcing.is_alive()
        watch.cancel()
