"""The standard health service (grpc.health.v1), whose watchers can go away at any moment."""

# ruff: noqa: N802 - methods are named as the proto names its RPCs

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

__all__ = ["HealthServicer"]

_Response: TypeAlias = health_pb2.HealthCheckResponse
_Send = Callable[[_Response | None], None]

_SERVING: int = _Response.SERVING
_NOT_SERVING: int = _Response.NOT_SERVING
_UNKNOWN: int = _Response.SERVICE_UNKNOWN


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Answers checks, and tells watchers of every change without holding a thread for them.

    The servicer that comes with gRPC sends under the lock that its end-of-call callbacks take. A watcher that
    goes away at that moment then stops the server for ever: the thread that would end the sending is the
    one that waits for the lock. Here no callback waits for a sending.
    """

    def __init__(self, services: Iterable[str]) -> None:
        """Know these services, NOT_SERVING each, until told otherwise."""
        self._lock = threading.Lock()
        self._serving = dict.fromkeys(services, False)
        self._watchers: set[_Watcher] = set()
        self._stopped = False

    def set(self, service: str, *, serving: bool) -> None:
        """Say whether a service serves; of no effect after `stop`."""
        with self._lock:
            if self._stopped:
                return
            self._serving[service] = serving
        self._tell(service)

    def stop(self) -> None:
        """Say NOT_SERVING for every service, for good. Idempotent."""
        with self._lock:
            self._stopped = True
            self._serving = dict.fromkeys(self._serving, False)
        for service in self._serving:
            self._tell(service)

    def Check(self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext) -> _Response:
        """The state of a service, or NOT_FOUND."""
        status = self._status(request.service)
        if status == _UNKNOWN:
            context.abort(
                grpc.StatusCode.NOT_FOUND, f"There is no service '{request.service}' whose health is known."
            )
        return _Response(status=status)

    def Watch(
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.ServicerContext,
        send_response_callback: _Send,
    ) -> None:
        """The state of a service now, and again whenever it changes."""
        watcher = _Watcher(request.service, send_response_callback)
        with self._lock:
            self._watchers.add(watcher)
        if not context.add_callback(lambda: self._forget(watcher)):
            self._forget(watcher)
            return
        watcher.tell(self._status)

    # gRPC's way to answer a stream from whatever thread has news, instead of one thread per stream.
    Watch.experimental_non_blocking = True  # type: ignore[attr-defined]

    def _status(self, service: str) -> int:
        with self._lock:
            serving = self._serving.get(service)
        if serving is None:
            return _UNKNOWN
        return _SERVING if serving else _NOT_SERVING

    def _tell(self, service: str) -> None:
        with self._lock:
            watchers = [watcher for watcher in self._watchers if watcher.service == service]
        for watcher in watchers:
            watcher.tell(self._status)

    def _forget(self, watcher: _Watcher) -> None:
        with self._lock:
            self._watchers.discard(watcher)


class _Watcher:
    """One watch: what it was told last, and how it is told more."""

    def __init__(self, service: str, send: _Send) -> None:
        self.service = service
        self._send = send
        self._sending = threading.Lock()
        self._told: int | None = None

    def tell(self, status_of: Callable[[str], int]) -> None:
        # Read under the lock, so that of two threads with news the later one sends the later state.
        with self._sending:
            status = status_of(self.service)
            if status != self._told:
                self._told = status
                self._send(_Response(status=status))
