"""Traces: one per job, from the call that made it, through the message, to the fit and what it wrote.

With OTEL_EXPORTER_OTLP_ENDPOINT set, spans go there; the standard OTEL_* variables say the rest (sampling,
headers, resource). Without it, or without the extra `traces`, the API does nothing but pass on what came.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import structlog
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NoOpTracer, Span, SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.core.errors import InvalidInput

__all__ = ["Attributes", "Tracing", "open_provider"]

Attributes: TypeAlias = Mapping[str, str | int | float | bool] | None

_NAME = "kmeans_service"
_PROPAGATOR = TraceContextTextMapPropagator()
# By itself the exporter tries for up to half a minute; a pod that is to end has ten seconds beside its work.
_CLOSE_SECONDS = 3.0

_log = structlog.get_logger("telemetry")


class Tracing:
    """Starts spans and makes them current, here and in the log lines."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        """Give spans to this provider; to nobody, when not given."""
        self._provider = provider
        self._tracer = NoOpTracer() if provider is None else provider.get_tracer(_NAME)

    def span(
        self,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: Context | None = None,
        attributes: Attributes = None,
        started_ns: int | None = None,
    ) -> Span:
        """Begin a span within `parent`, or within the current one; whoever begins it ends it."""
        return self._tracer.start_span(name, parent, kind, attributes, start_time=started_ns)

    @contextmanager
    def active(self, span: Span) -> Iterator[None]:
        """Make it the current span of this thread, and its trace_id part of the thread's log lines."""
        found = span.get_span_context()
        token = contexts.attach(trace.set_span_in_context(span))
        logged = (
            structlog.contextvars.bind_contextvars(trace_id=trace.format_trace_id(found.trace_id))
            if found.is_valid
            else {}
        )
        try:
            yield
        finally:
            structlog.contextvars.reset_contextvars(**logged)
            contexts.detach(token)

    @contextmanager
    def within(
        self,
        name: str,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: Context | None = None,
        attributes: Attributes = None,
    ) -> Iterator[Span]:
        """A current span around the block; ended in error when the block raises."""
        span = self.span(name, kind, parent, attributes)
        with self.active(span):
            try:
                yield span
            except BaseException as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise
            finally:
                span.end()

    def is_within(self) -> bool:
        """Whether the current span is recorded, so that a smaller one belongs into it."""
        return trace.get_current_span().is_recording()

    def traceparent(self) -> str:
        """The current span as W3C Trace Context writes it; "" outside of any."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get("traceparent", "")

    def context_of(self, traceparent: str) -> Context:
        """The other way round; of "" or of what is no traceparent, the context outside of any span."""
        return _PROPAGATOR.extract({"traceparent": traceparent}, Context())

    def close(self) -> None:
        """Send what is left, unless the collector does not take it in time."""
        shutdown = getattr(self._provider, "shutdown", None)
        if shutdown is None:
            return
        sending = threading.Thread(target=shutdown, name="traces-end", daemon=True)
        sending.start()
        sending.join(_CLOSE_SECONDS)
        if sending.is_alive():
            _log.warning(
                "the last spans are lost: the collector does not answer", waited_seconds=_CLOSE_SECONDS
            )


def open_provider(service: str) -> TracerProvider | None:
    """A provider that exports over OTLP/gRPC; None, with a warning, without the packages for it.

    OTEL_SERVICE_NAME names the service, `kmeans-` and its command otherwise.

    Raises:
        InvalidInput: one of the OTEL_* variables cannot be used (`BAD_SETTINGS`).
    """
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider as SdkProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        _log.warning(
            "no traces are sent: install the extra kmeans-service[traces], or unset the collector's address",
            missing=error.name,
        )
        return None
    resource = Resource.create({"service.name": f"kmeans-{service}"}).merge(OTELResourceDetector().detect())
    try:
        # Whoever opened it ends it, in bounded time.
        provider = SdkProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    except ValueError as error:
        raise InvalidInput(
            f"Traces cannot be sent as the OTEL_* variables say: {str(error).rstrip('.')}. "
            "Correct them, or set OTEL_SDK_DISABLED=true.",
            "BAD_SETTINGS",
        ) from error
    return provider
