"""Calls of a backend, observed: how long they take, which fail, and where in a trace they belong."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from opentelemetry.trace import SpanKind

from services.core.deadline import seconds_left
from services.core.errors import Unavailable
from services.telemetry.instruments import Instruments
from services.telemetry.labels import OPERATIONS
from services.telemetry.tracing import Tracing

__all__ = ["ObservedCalls", "observed_calls"]

_Call = Callable[..., Any]


class ObservedCalls:
    """Stands in for a backend: passes everything on, and times its operations.

    Subclasses say more of single operations, and reach the timed ones by `_call`.
    """

    def __init__(self, inner: Any, backend: str, instruments: Instruments, tracing: Tracing) -> None:
        """Observe `inner` as `store`, `queue` or `objects`."""
        self._inner = inner
        self._call = {
            operation: _timed(getattr(inner, operation), backend, operation, instruments, tracing)
            for operation in OPERATIONS[backend]
        }

    def __getattr__(self, name: str) -> Any:
        """The timed operation of that name, or whatever the backend has under it."""
        return self._call.get(name) or getattr(self._inner, name)


def observed_calls(inner: Any, backend: str, instruments: Instruments, tracing: Tracing) -> Any:
    """The backend, its operations timed and nothing more said of them."""
    return ObservedCalls(inner, backend, instruments, tracing)


def _timed(call: _Call, backend: str, operation: str, instruments: Instruments, tracing: Tracing) -> _Call:
    name = f"{backend}.{operation}"

    def observed(*arguments: Any, **options: Any) -> Any:
        # Before there is any: a series that begins with its first failure has not risen, for Prometheus.
        failures = instruments.call_failures.labels(backend, operation)
        began = time.perf_counter()
        try:
            if not tracing.is_within():
                # What nobody asked for, such as the scheduler's own looks, would be a trace of one span.
                return call(*arguments, **options)
            with tracing.within(name, SpanKind.CLIENT):
                return call(*arguments, **options)
        except Unavailable:
            # Where whoever asked had no more time, it is no failure of the server's.
            if seconds_left() != 0:
                failures.inc()
            raise
        finally:
            instruments.call_seconds.labels(backend, operation).observe(time.perf_counter() - began)

    return observed
