"""A worker's end of the queue, observed: one span, one busy slot and one duration per bundle."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime

from opentelemetry.trace import SpanKind

from services.core.ports import BundleConsumer, BundleDelivery
from services.core.tasks import Bundle
from services.telemetry.instruments import Instruments
from services.telemetry.tracing import Tracing

__all__ = ["CurrentBundle", "ObservedConsumer", "ObservedDelivery", "current_bundle"]


@dataclass(frozen=True, slots=True)
class CurrentBundle:
    """What this thread runs.

    Attributes:
        waited_from: when it was published; None when not known, or when it was delivered before.
    """

    waited_from: datetime | None


_current: ContextVar[CurrentBundle | None] = ContextVar("kmeans_bundle", default=None)


def current_bundle() -> CurrentBundle | None:
    """The bundle in the hands of this thread."""
    return _current.get()


class ObservedConsumer:
    """`services.core.ports.BundleConsumer`, whose deliveries are observed."""

    def __init__(self, inner: BundleConsumer, instruments: Instruments, tracing: Tracing) -> None:
        """Observe this consumer."""
        self._inner = inner
        self._instruments = instruments
        self._tracing = tracing

    def receive(self, timeout_seconds: float) -> BundleDelivery | None:
        """See the port. The delivery is to be settled by the thread that received it."""
        delivery = self._inner.receive(timeout_seconds)
        return None if delivery is None else ObservedDelivery(delivery, self._instruments, self._tracing)

    def cancel(self) -> None:
        """See the port."""
        self._inner.cancel()

    def close(self) -> None:
        """See the port."""
        self._inner.close()


class ObservedDelivery:
    """`services.core.ports.BundleDelivery`: its span is current in its thread until it is settled."""

    def __init__(self, inner: BundleDelivery, instruments: Instruments, tracing: Tracing) -> None:
        """Begin to observe this delivery."""
        self._inner = inner
        self._instruments = instruments
        self._thread = threading.get_ident()
        self._began = time.perf_counter()
        bundle = inner.bundle
        waited_from = None if inner.redelivered else bundle.published_at
        instruments.bundles_in_progress.inc()
        instruments.bundles_delivered.labels("true" if inner.redelivered else "false").inc()
        if waited_from is not None:
            waited = (datetime.now(UTC) - waited_from).total_seconds()
            instruments.queue_seconds.observe(max(0.0, waited))
        self._span = tracing.span(
            "run bundle",
            SpanKind.CONSUMER,
            tracing.context_of(bundle.traceparent),
            {
                "kmeans.job": bundle.job_id,
                "kmeans.tasks": len(bundle.keys),
                "kmeans.redelivered": inner.redelivered,
            },
        )
        self._current = ExitStack()
        self._current.enter_context(tracing.active(self._span))
        self._current.callback(_current.reset, _current.set(CurrentBundle(waited_from)))

    @property
    def bundle(self) -> Bundle:
        """See the port."""
        return self._inner.bundle

    @property
    def redelivered(self) -> bool:
        """See the port."""
        return self._inner.redelivered

    def ack(self) -> None:
        """See the port."""
        self._settle("acknowledged", self._inner.ack)

    def requeue(self) -> None:
        """See the port."""
        self._settle("requeued", self._inner.requeue)

    def reject(self, reason: str) -> None:
        """See the port."""
        self._settle("rejected", lambda: self._inner.reject(reason))

    def _settle(self, outcome: str, settle: Callable[[], None]) -> None:
        try:
            settle()
        finally:
            self._instruments.bundles_in_progress.dec()
            self._instruments.bundle_seconds.labels(outcome).observe(time.perf_counter() - self._began)
            self._span.set_attribute("kmeans.outcome", outcome)
            self._span.end()
            # What is current belongs to a thread, and no other one can take it back.
            if threading.get_ident() == self._thread:
                self._current.close()
