"""The one interceptor: every call has an owner, ends in a status with a reason, and leaves one log line."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Any, NoReturn

import grpc
import structlog
from grpc_status import rpc_status

from services.core.deadline import seconds_left, set_deadline
from services.core.errors import InvalidInput, ServiceError, Unavailable
from services.gateway.authentication import Authentication, Caller
from services.gateway.errors import DeadlinePassed
from services.gateway.patience import Patience
from services.gateway.requests import readable, tolerant
from services.gateway.slots import Slots
from services.gateway.statuses import code_of, status_of

__all__ = ["ErrorInterceptor"]

_log = structlog.get_logger(__name__)

_Behaviour = Callable[[Any, Any], Any]
_Taking = Callable[[Iterator[Any], Caller], Any]


class ErrorInterceptor(grpc.ServerInterceptor):
    """Turns what a method raises into a rich status.

    A `ServiceError` says its own sentence. Anything else is a mistake of ours: the caller gets a
    reference, the log the traceback under the same reference, and nothing of the error itself leaks.
    No method runs before it is known who calls, and none waits for a client without end.
    """

    def __init__(
        self,
        authentication: Authentication | None = None,
        pools: Mapping[str, ThreadPoolExecutor] | None = None,
        patience: Patience | None = None,
        calls: Slots | None = None,
        deserializers: Mapping[str, Callable[[bytes], Any]] | None = None,
    ) -> None:
        """Ask `authentication` who calls; everybody may, when not given.

        Args:
            authentication: tells the owners.
            pools: streams named here run on these threads.
            patience: how long to wait for clients.
            calls: bounds the other calls, of each owner and in all.
            deserializers: requests of methods named here are read by these, not by the generated ones.
        """
        self._authentication = authentication or Authentication()
        self._pools = pools or {}
        self._patience = patience or Patience()
        self._calls = calls
        self._deserializers = deserializers or {}

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap the methods of our own services; the others are `AnonymousInterceptor`'s.

        Every method is served as one that takes a stream, which looks the same to clients: of any other,
        gRPC waits for the message before it calls anything of ours, and without end.
        """
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith("/kmeans."):
            return handler
        serialisation = {
            "request_deserializer": tolerant(self._deserializers.get(method, handler.request_deserializer)),
            "response_serializer": handler.response_serializer,
        }
        single = handler.unary_unary or handler.stream_unary
        if single is not None:
            return grpc.stream_unary_rpc_method_handler(
                self._single(method, single, self._taking(handler)), **serialisation
            )
        streaming = handler.unary_stream or handler.stream_stream
        if streaming is None:
            return handler
        answer = self._streaming(method, streaming, self._taking(handler))
        if method in self._pools:
            # Where gRPC looks for it, on the outermost function.
            answer.experimental_thread_pool = self._pools[method]  # type: ignore[attr-defined]
        return grpc.stream_stream_rpc_method_handler(answer, **serialisation)

    def _taking(self, handler: grpc.RpcMethodHandler[Any, Any]) -> _Taking:
        return self._all if handler.request_streaming else self._only

    def _only(self, requests: Iterator[Any], caller: Caller) -> Any:
        request = self._patience.only(requests, caller.context)
        if request is None:
            raise InvalidInput("The call carries no message; send one.", "REQUEST_MISSING")
        return readable(request)

    def _all(self, requests: Iterator[Any], caller: Caller) -> Any:
        return readable(self._patience.requests(requests, caller.check_welcome))

    def _place(self, method: str, owner: str) -> AbstractContextManager[None]:
        # What has threads of its own has places of its own.
        return nullcontext() if self._calls is None or method in self._pools else self._calls.take(owner)

    def _single(self, method: str, behaviour: _Behaviour, taking: _Taking) -> _Behaviour:
        def answer(requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
            begun = time.monotonic()
            set_deadline(context.time_remaining())
            try:
                caller = Caller(context, self._authentication)
                with self._place(method, caller.owner):
                    response = behaviour(taking(requests, caller), caller)
            except grpc.RpcError:
                # The request stream broke: the client is gone, and gRPC ends the call by itself.
                _log.info("call abandoned by its client", method=method, seconds=_since(begun))
                raise
            except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the caller gets a status
                _abort(method, error, context, begun)
            _log.debug("call answered", method=method, seconds=_since(begun))
            return response

        return answer

    def _streaming(self, method: str, behaviour: _Behaviour, taking: _Taking) -> _Behaviour:
        def answer(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
            begun = time.monotonic()
            set_deadline(context.time_remaining())
            try:
                caller = Caller(context, self._authentication)
                with (
                    self._place(method, caller.owner),
                    closing(behaviour(taking(requests, caller), caller)) as responses,
                ):
                    for response in responses:
                        caller.check_welcome()
                        with self._patience.taken(context):
                            yield response
            except grpc.RpcError:
                _log.info("call abandoned by its client", method=method, seconds=_since(begun))
                raise
            except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the caller gets a status
                _abort(method, error, context, begun)
            _log.debug("call answered", method=method, seconds=_since(begun))

        return answer


def _abort(method: str, error: Exception, context: grpc.ServicerContext, begun: float) -> NoReturn:
    if isinstance(error, Unavailable) and seconds_left() == 0:
        error = DeadlinePassed("The deadline of the call passed before a server had answered.")
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
