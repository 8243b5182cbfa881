"""What anybody may call, health and reflection: on a few threads of their own, which nobody can keep.

They ask for no token, so that nothing is known of whoever holds their threads, and no share can be given. In
place of that, the call that has waited for its client the longest gives way to the next one: an honest probe
sends its message at once, and who reads the reflection of a service has done so before the stream is idle.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from services.gateway.patience import Patience

__all__ = ["AnonymousInterceptor"]

_Behaviour = Callable[..., Any]

_THREADS = 8
# In line for these threads: so many may be honest and have come at once.
_CROWD = 32


class AnonymousInterceptor(grpc.ServerInterceptor):
    """Serves every method but those of `kmeans.v1` on threads of its own.

    As the others they are served as methods that take a stream: gRPC waits for the one message of any other
    method by itself, without end and holding a thread.
    """

    def __init__(self, idle_seconds: float, *, threads: int = _THREADS) -> None:
        """Wait `idle_seconds` at most for a client, and less where others want the thread.

        Args:
            idle_seconds: as of `Patience`.
            threads: how many such calls are served at once; 2 or more.
        """
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="anonymous")
        # One thread is always free to look who comes next.
        self._patience = Patience(
            idle_seconds,
            1,
            n_waiting=threads - 1,
            # Half a second for each of a thousand silent calls would be minutes for an honest one behind.
            is_crowded=lambda: self._pool._work_queue.qsize() > _CROWD,
        )

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap what asks for no token."""
        handler = continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith("/kmeans."):
            return handler
        serialisation = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary is not None:
            return grpc.stream_unary_rpc_method_handler(
                self._here(self._single(handler.unary_unary)), **serialisation
            )
        if handler.unary_stream is not None:
            return grpc.stream_stream_rpc_method_handler(
                self._here(self._told(handler.unary_stream)), **serialisation
            )
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(
                self._here(self._streaming(handler.stream_stream)), **serialisation
            )
        return handler

    def close(self) -> None:
        """End the threads, once the server has stopped. Idempotent."""
        self._pool.shutdown()
        self._patience.close()

    def _here(self, behaviour: _Behaviour) -> _Behaviour:
        # Where gRPC looks for it.
        behaviour.experimental_thread_pool = self._pool  # type: ignore[attr-defined]
        return behaviour

    def _single(self, behaviour: _Behaviour) -> _Behaviour:
        def answer(requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
            return behaviour(self._only(requests, context), context)

        return answer

    def _told(self, behaviour: _Behaviour) -> _Behaviour:
        """A stream that is answered from whatever thread has news, as the watch of health."""

        def answer(
            requests: Iterator[Any], context: grpc.ServicerContext, send: Callable[[Any], None]
        ) -> None:
            def send_in_time(response: Any) -> None:
                with self._patience.taken(context):
                    send(response)

            behaviour(self._only(requests, context), context, _Outbox(self._pool, send_in_time).put)

        answer.experimental_non_blocking = True  # type: ignore[attr-defined]
        return answer

    def _streaming(self, behaviour: _Behaviour) -> _Behaviour:
        def each(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            while (request := self._patience.only(requests, context)) is not None:
                yield request

        def answer(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            for response in behaviour(each(requests, context), context):
                with self._patience.taken(context):
                    yield response

        return answer

    def _only(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
        request = self._patience.only(requests, context)
        if request is None:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The call carries no message; send one.")
        return request


class _Outbox:
    """The answers of one call, sent in their order and by no thread of who gives them.

    A client that takes nothing would hold up whoever has news for it: the gateway could not announce its end.
    """

    def __init__(self, pool: ThreadPoolExecutor, send: Callable[[Any], None]) -> None:
        self._pool = pool
        self._send = send
        self._lock = threading.Lock()
        self._waiting = deque[Any]()
        self._is_sending = False

    def put(self, response: Any) -> None:
        with self._lock:
            self._waiting.append(response)
            if self._is_sending:
                return
            self._is_sending = True
        self._pool.submit(self._send_all)

    def _send_all(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._is_sending = False
                    return
                response = self._waiting.popleft()
            self._send(response)
