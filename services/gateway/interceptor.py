"""The one interceptor: every call has an owner, ends in a status with a reason, and leaves one log line."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
import structlog
from grpc_status import rpc_status

from services.core.errors import ServiceError
from services.gateway.authentication import Authentication, Caller
from services.gateway.requests import readable, tolerant
from services.gateway.statuses import code_of, status_of

__all__ = ["ErrorInterceptor"]

_log = structlog.get_logger(__name__)

_Behaviour = Callable[[Any, Any], Any]
_OwnerOf = Callable[[grpc.ServicerContext], str]


class ErrorInterceptor(grpc.ServerInterceptor):
    """Turns what a method raises into a rich status.

    A `ServiceError` says its own sentence. Anything else is a mistake of ours: the caller gets a
    reference, the log the traceback under the same reference, and nothing of the error itself leaks.
    No method runs before it is known who calls.
    """

    def __init__(
        self,
        authentication: Authentication | None = None,
        pools: Mapping[str, ThreadPoolExecutor] | None = None,
    ) -> None:
        """Ask this who calls; everybody may, when not given. Streams named in `pools` run there."""
        self._authentication = authentication or Authentication()
        self._pools = pools or {}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap the methods of our own services; health and reflection answer for themselves."""
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith("/kmeans."):
            return handler
        owner_of = self._authentication.owner_of
        serialisation = {
            "request_deserializer": tolerant(handler.request_deserializer),
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                _single(method, owner_of, handler.unary_unary), **serialisation
            )
        if handler.stream_unary is not None:
            return grpc.stream_unary_rpc_method_handler(
                _single(method, owner_of, handler.stream_unary), **serialisation
            )
        if handler.unary_stream is not None:
            answer = _streaming(method, owner_of, handler.unary_stream)
            if method in self._pools:
                # Where gRPC looks for it, on the outermost function.
                answer.experimental_thread_pool = self._pools[method]  # type: ignore[attr-defined]
            return grpc.unary_stream_rpc_method_handler(answer, **serialisation)
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(
                _streaming(method, owner_of, handler.stream_stream), **serialisation
            )
        return handler


def _single(method: str, owner_of: _OwnerOf, behaviour: _Behaviour) -> _Behaviour:
    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        begun = time.monotonic()
        try:
            response = _call(behaviour, request, Caller(context, owner_of(context)))
        except grpc.RpcError:
            # The request stream broke: the client is gone, and gRPC ends the call by itself.
            _log.info("call abandoned by its client", method=method, seconds=_since(begun))
            raise
        except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the caller gets a status
            _abort(method, error, context, begun)
        _log.debug("call answered", method=method, seconds=_since(begun))
        return response

    return answer


def _streaming(method: str, owner_of: _OwnerOf, behaviour: _Behaviour) -> _Behaviour:
    def answer(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        begun = time.monotonic()
        try:
            yield from _call(behaviour, request, Caller(context, owner_of(context)))
        except grpc.RpcError:
            _log.info("call abandoned by its client", method=method, seconds=_since(begun))
            raise
        except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the caller gets a status
            _abort(method, error, context, begun)
        _log.debug("call answered", method=method, seconds=_since(begun))

    return answer


def _call(behaviour: _Behaviour, request: Any, caller: Caller) -> Any:
    return behaviour(readable(request), caller)


def _abort(method: str, error: Exception, context: grpc.ServicerContext, begun: float) -> NoReturn:
    if isinstance(error, ServiceError):
        _log.info(
            "call refused",
            method=method,
            code=code_of(error).name,
            reason=error.reason,
            seconds=_since(begun),
            metadata=dict(error.metadata),
        )
    else:
        reference = secrets.token_hex(8)
        _log.error("call failed", method=method, reference=reference, exc_info=error)
        error = ServiceError(
            f"The service made a mistake. Its log tells more under the reference {reference}.",
            "INTERNAL",
            {"reference": reference},
        )
    context.abort_with_status(rpc_status.to_status(status_of(error)))


def _since(begun: float) -> float:
    return round(time.monotonic() - begun, 4)
