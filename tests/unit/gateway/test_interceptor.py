"""The interceptor on a real server, in front of methods that go wrong in every way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
import structlog
from google.protobuf import empty_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from services.core.errors import NotFound
from services.gateway.interceptor import ErrorInterceptor

EMPTY = empty_pb2.Empty()
SECRET = "mongodb://admin:hunter2@db"


def refuse(*_: Any) -> Any:
    raise NotFound("There is none.", "JOB_NOT_FOUND")


def fail(*_: Any) -> Any:
    raise RuntimeError(SECRET)


def refuse_late(*_: Any) -> Iterator[empty_pb2.Empty]:
    yield EMPTY
    raise NotFound("There is none.", "JOB_NOT_FOUND")


def fail_late(*_: Any) -> Iterator[empty_pb2.Empty]:
    yield EMPTY
    raise RuntimeError(SECRET)


METHODS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "UnaryRefuse": (grpc.unary_unary_rpc_method_handler, refuse),
    "UnaryFail": (grpc.unary_unary_rpc_method_handler, fail),
    "UploadRefuse": (grpc.stream_unary_rpc_method_handler, refuse),
    "UploadFail": (grpc.stream_unary_rpc_method_handler, fail),
    "StreamRefuse": (grpc.unary_stream_rpc_method_handler, refuse),
    "StreamFail": (grpc.unary_stream_rpc_method_handler, fail),
    "StreamRefuseLate": (grpc.unary_stream_rpc_method_handler, refuse_late),
    "StreamFailLate": (grpc.unary_stream_rpc_method_handler, fail_late),
    "BothRefuse": (grpc.stream_stream_rpc_method_handler, refuse_late),
    "BothFail": (grpc.stream_stream_rpc_method_handler, fail_late),
}


@pytest.fixture(scope="module")
def channel() -> Iterator[grpc.Channel]:
    serialisation = {
        "request_deserializer": empty_pb2.Empty.FromString,
        "response_serializer": empty_pb2.Empty.SerializeToString,
    }
    handlers = {name: kind(method, **serialisation) for name, (kind, method) in METHODS.items()}
    with ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, interceptors=[ErrorInterceptor()])
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler("kmeans.test.Broken", handlers),
                grpc.method_handlers_generic_handler("other.Broken", handlers),
            )
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
            yield channel
        server.stop(0).wait()


def call(channel: grpc.Channel, method: str, service: str = "kmeans.test.Broken") -> grpc.RpcError:
    path = f"/{service}/{method}"
    arguments = {
        "request_serializer": empty_pb2.Empty.SerializeToString,
        "response_deserializer": empty_pb2.Empty.FromString,
    }
    invocations: dict[str, Callable[[], Any]] = {
        "Unary": lambda: channel.unary_unary(path, **arguments)(EMPTY, timeout=10),
        "Upload": lambda: channel.stream_unary(path, **arguments)(iter([EMPTY]), timeout=10),
        "Stream": lambda: list(channel.unary_stream(path, **arguments)(EMPTY, timeout=10)),
        "Both": lambda: list(channel.stream_stream(path, **arguments)(iter([EMPTY]), timeout=10)),
    }
    invoke = next(one for prefix, one in invocations.items() if method.startswith(prefix))
    with pytest.raises(grpc.RpcError) as failed:
        invoke()
    return failed.value


def error_info(error: Any) -> error_details_pb2.ErrorInfo:
    status = rpc_status.from_call(error)
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info


@pytest.mark.parametrize("method", [name for name in METHODS if "Refuse" in name])
def test_what_the_service_says_reaches_the_caller(channel: grpc.Channel, method: str) -> None:
    error = call(channel, method)
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == "There is none."
    assert error_info(error).reason == "JOB_NOT_FOUND"


@pytest.mark.parametrize("method", [name for name in METHODS if "Fail" in name])
def test_a_mistake_of_ours_is_logged_and_not_told(channel: grpc.Channel, method: str) -> None:
    with structlog.testing.capture_logs() as logs:
        error = call(channel, method)
    assert error.code() is grpc.StatusCode.INTERNAL
    info = error_info(error)
    assert info.reason == "INTERNAL"
    assert "hunter2" not in str(error)
    logged = next(line for line in logs if line["event"] == "call failed")
    assert logged["reference"] == info.metadata["reference"]
    assert logged["reference"] in str(error.details())
    assert str(logged["exc_info"]) == SECRET


def test_services_of_others_are_left_alone(channel: grpc.Channel) -> None:
    error = call(channel, "UnaryRefuse", "other.Broken")
    assert error.code() is grpc.StatusCode.UNKNOWN
