"""Metrics over HTTP, as Prometheus asks for them."""

from __future__ import annotations

import threading
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import CollectorRegistry, start_http_server

from services.core.errors import FailedPrecondition

__all__ = ["MetricsServer"]

_log = structlog.get_logger("telemetry")


class MetricsServer:
    """Answers GET /metrics on an address of its own, in plain text: of figures, and of nobody's data."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Tell what is in this registry."""
        self._registry = registry
        self._server: WSGIServer | None = None
        self._thread: threading.Thread | None = None

    def start(self, address: str) -> int:
        """Listen on HOST:PORT; return the port, chosen freely when it was 0.

        Raises:
            FailedPrecondition: nothing can listen there (`ADDRESS_NOT_AVAILABLE`).
        """
        host, _, port = address.rpartition(":")
        try:
            self._server, self._thread = start_http_server(int(port), host.strip("[]"), self._registry)
        except (OSError, OverflowError) as error:
            raise FailedPrecondition(
                f"Cannot tell metrics on {address}: it is taken, or not an address of this machine. "
                "Stop what listens there, or set KMEANS_METRICS_ADDRESS to another HOST:PORT.",
                "ADDRESS_NOT_AVAILABLE",
                {"address": address},
            ) from error
        _log.info("metrics are told", address=address, port=self._server.server_port)
        return self._server.server_port

    def stop(self) -> None:
        """Answer no more. Idempotent."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None
