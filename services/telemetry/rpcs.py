"""The calls of a gateway, observed: counted, timed and traced by method and status code."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

import grpc
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from services.telemetry.instruments import Instruments
from services.telemetry.labels import METHODS, OTHER, method_of
from services.telemetry.tracing import Tracing

__all__ = ["RpcObserver"]

_Behaviour = Callable[[Any, Any], Any]

# Of these a single one is an alert.
_MISTAKES = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS)


class RpcObserver(grpc.ServerInterceptor):
    """The outermost interceptor, so that what others refuse is counted, too.

    Health and reflection are left out: probes would drown the rest, and their streams are answered without a
    thread to observe.
    """

    def __init__(self, instruments: Instruments, tracing: Tracing) -> None:
        """Tell of calls there."""
        self._instruments = instruments
        self._tracing = tracing
        for method in METHODS:
            for code in _MISTAKES:
                # A series that begins with its first call has not risen, for Prometheus: begin it with 0.
                instruments.rpcs.labels(method, code.name)

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap the methods of our own services, and count calls of methods that nobody serves."""
        handler = continuation(handler_call_details)
        path = handler_call_details.method
        if handler is None:
            self._instruments.rpcs.labels(OTHER, grpc.StatusCode.UNIMPLEMENTED.name).inc()
            return None
        method = method_of(path)
        if method == OTHER:
            return handler
        serialisation = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._single(method, handler.unary_unary), **serialisation
            )
        if handler.stream_unary is not None:
            return grpc.stream_unary_rpc_method_handler(
                self._single(method, handler.stream_unary), **serialisation
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                self._streaming(method, handler.unary_stream), **serialisation
            )
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(
                self._streaming(method, handler.stream_stream), **serialisation
            )
        return handler

    def _single(self, method: str, behaviour: _Behaviour) -> _Behaviour:
        @wraps(behaviour)
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            call = _Call(method, context, self._instruments, self._tracing)
            try:
                with self._tracing.active(call.span):
                    return behaviour(request, context)
            except BaseException:
                call.has_failed = True
                raise
            finally:
                call.end()

        return answer

    def _streaming(self, method: str, behaviour: _Behaviour) -> _Behaviour:
        # With its attributes: gRPC looks there for the pool of threads that a stream is to run on.
        @wraps(behaviour)
        def answer(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            call = _Call(method, context, self._instruments, self._tracing)
            try:
                responses = iter(behaviour(request, context))
                while True:
                    # Not across the yield: who asks for the next response is not ours to say.
                    with self._tracing.active(call.span):
                        try:
                            response = next(responses)
                        except StopIteration:
                            return
                    yield response
            except BaseException:
                call.has_failed = True
                raise
            finally:
                call.end()

        return answer


class _Call:
    """One call from its arrival to its end."""

    def __init__(
        self, method: str, context: grpc.ServicerContext, instruments: Instruments, tracing: Tracing
    ) -> None:
        self._method = method
        self._context = context
        self._instruments = instruments
        self._began = time.perf_counter()
        self.has_failed = False
        self.span: Span = tracing.span(
            method,
            SpanKind.SERVER,
            tracing.context_of(_traceparent(context)),
            {
                "rpc.system": "grpc",
                "rpc.service": method.partition("/")[0],
                "rpc.method": method.partition("/")[2],
            },
        )
        instruments.rpcs_in_flight.labels(method).inc()

    def end(self) -> None:
        code = self._code()
        self._instruments.rpcs_in_flight.labels(self._method).dec()
        self._instruments.rpcs.labels(self._method, code.name).inc()
        self._instruments.rpc_seconds.labels(self._method, code.name).observe(
            time.perf_counter() - self._began
        )
        self.span.set_attribute("rpc.grpc.status_code", code.value[0])
        if code is not grpc.StatusCode.OK:
            self.span.set_status(Status(StatusCode.ERROR, code.name))
        self.span.end()

    def _code(self) -> grpc.StatusCode:
        code = self._context.code()  # type: ignore[attr-defined]
        if isinstance(code, grpc.StatusCode):
            return code
        if self._context.is_active():
            return grpc.StatusCode.UNKNOWN if self.has_failed else grpc.StatusCode.OK
        remaining = self._context.time_remaining()
        if remaining is not None and remaining <= 0:
            return grpc.StatusCode.DEADLINE_EXCEEDED
        return grpc.StatusCode.CANCELLED


def _traceparent(context: grpc.ServicerContext) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "traceparent" and isinstance(value, str):
            return value
    return ""
