"""Clients that open a call and then do nothing: each is sent away, and the next one is served."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2

from kmeans_client.errors import decode
from services.gateway.interceptor import ErrorInterceptor
from services.gateway.patience import Patience

EMPTY = empty_pb2.Empty()
THREADS = 2
LARGE = bytes(1 << 20)


def echo_all(requests: Iterator[Any], _: Any) -> Iterator[Any]:
    yield from requests


def count(requests: Iterator[Any], _: Any) -> Any:
    for _request in requests:
        pass
    return EMPTY


@pytest.fixture
def patience() -> Iterator[Patience]:
    patience = Patience(0.2, THREADS)
    yield patience
    patience.close()


@pytest.fixture
def floods() -> threading.Semaphore:
    """Released whenever the answer to a call of `Down` begins."""
    return threading.Semaphore(0)


@pytest.fixture
def channel(patience: Patience, floods: threading.Semaphore) -> Iterator[grpc.Channel]:
    def flood(*_: Any) -> Iterator[bytes]:
        """Far more than fits on the way, but not without an end: a test may read it by mistake."""
        floods.release()
        for _ in range(64):
            yield LARGE

    methods = {
        "One": grpc.unary_unary_rpc_method_handler(lambda *_: EMPTY, empty_pb2.Empty.FromString, bytes_of),
        "Down": grpc.unary_stream_rpc_method_handler(flood, empty_pb2.Empty.FromString),
        "Up": grpc.stream_unary_rpc_method_handler(count, empty_pb2.Empty.FromString, bytes_of),
        "Both": grpc.stream_stream_rpc_method_handler(echo_all, empty_pb2.Empty.FromString, bytes_of),
    }
    with ThreadPoolExecutor(THREADS) as pool:
        server = grpc.server(pool, interceptors=[ErrorInterceptor(patience=patience)])
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("kmeans.v1.Fake", methods),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        options = [("grpc.enable_http_proxy", 0)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            yield channel
        server.stop(0).wait()


def bytes_of(message: Any) -> bytes:
    return bytes(message.SerializeToString())


@pytest.fixture
def silence() -> Iterator[Callable[..., Iterator[bytes]]]:
    """A stream that sends these and then neither more nor an end."""
    over = threading.Event()

    def silent(*messages: bytes) -> Iterator[bytes]:
        yield from messages
        over.wait(60)

    yield silent
    over.set()


def ending(call: Any) -> str:
    try:
        for _ in call:
            pass
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def served(channel: grpc.Channel) -> None:
    channel.unary_unary("/kmeans.v1.Fake/One")(b"", timeout=30)


def test_calls_without_their_message_leave_the_threads(channel: grpc.Channel, silence: Any) -> None:
    """Of a method that takes one message, too: to gRPC's own server they would be for ever."""
    for method in ("One", "Down"):
        calls = [channel.stream_stream(f"/kmeans.v1.Fake/{method}")(silence()) for _ in range(THREADS + 1)]
        served(channel)
        for call in calls:
            with pytest.raises(grpc.RpcError) as ended:
                next(call)
            assert ended.value.code() is grpc.StatusCode.CANCELLED


@pytest.mark.parametrize(("method", "sent"), [("Up", 0), ("Up", 3), ("Both", 0), ("Both", 3)])
def test_streams_that_pause_for_too_long_are_told_so(
    channel: grpc.Channel, silence: Any, method: str, sent: int
) -> None:
    calls = [
        channel.stream_stream(f"/kmeans.v1.Fake/{method}")(silence(*[b""] * sent))
        for _ in range(2 * THREADS + 1)
    ]
    served(channel)
    for call in calls:
        with pytest.raises(grpc.RpcError) as ended:
            list(call)
        error = decode(ended.value, "here")
        assert (error.code, error.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "CALL_IDLE")
        assert error.metadata == {"idle_seconds": "0.2"}


def test_downloads_that_nobody_takes_leave_the_threads(
    channel: grpc.Channel, floods: threading.Semaphore
) -> None:
    calls = [channel.unary_stream("/kmeans.v1.Fake/Down")(b"") for _ in range(THREADS)]
    assert all(floods.acquire(timeout=60) for _ in calls)
    # Every thread is held until a call is ended.
    served(channel)
    assert "CANCELLED" in [ending(call) for call in calls]


def test_a_call_without_a_message_is_refused(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        list(channel.stream_stream("/kmeans.v1.Fake/One")(iter(())))
    error = decode(refused.value, "here")
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MISSING")


def test_what_checks_the_caller_ends_a_pause(patience: Patience, silence: Any) -> None:
    def refuse() -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        list(patience.requests(silence(b""), refuse))


def test_what_checks_the_caller_ends_a_stream_without_pauses(patience: Patience) -> None:
    withdrawn = threading.Event()

    def check() -> None:
        if withdrawn.is_set():
            raise PermissionError

    stream = patience.requests(itertools.repeat(b""), check)
    assert [next(stream), next(stream)] == [b"", b""]
    withdrawn.set()
    with pytest.raises(PermissionError):
        next(stream)


def test_a_stream_is_read_one_message_ahead_and_no_further(patience: Patience) -> None:
    """However slow the work on a message is: what is more waits at the client, and not in our memory."""
    arrived: queue.SimpleQueue[int] = queue.SimpleQueue()

    def numbers() -> Iterator[int]:
        for number in range(1, 6):
            arrived.put(number)
            yield number

    stream = patience.requests(numbers(), lambda: None)
    for number in range(1, 5):
        assert next(stream) == number
        assert [arrived.get(timeout=30) for _ in range(2 if number == 1 else 1)][-1] == number + 1
        with pytest.raises(queue.Empty):
            arrived.get(timeout=0.02)
    assert list(stream) == [5]


def test_a_stream_that_breaks_gives_first_what_arrived(patience: Patience) -> None:
    def breaking() -> Iterator[int]:
        yield from (1, 2)
        raise ConnectionResetError

    taken = []
    with pytest.raises(ConnectionResetError):
        taken.extend(patience.requests(breaking(), lambda: None))
    assert taken == [1, 2]
