"""The task queue, observed: what is published, delivered and given up, and in which trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from opentelemetry.trace import SpanKind

from services.core.ports import BundleConsumer, DeadBundle, TaskQueue
from services.core.tasks import Bundle
from services.telemetry.calls import ObservedCalls
from services.telemetry.deliveries import ObservedConsumer
from services.telemetry.instruments import Instruments
from services.telemetry.tracing import Attributes, Tracing

__all__ = ["ObservedQueue"]


class ObservedQueue(ObservedCalls):
    """Stands in for a `services.core.ports.TaskQueue`; what is not here is passed on, timed."""

    def __init__(self, inner: TaskQueue, instruments: Instruments, tracing: Tracing) -> None:
        """Observe this queue."""
        super().__init__(inner, "queue", instruments, tracing)
        self._instruments = instruments
        self._tracing = tracing

    def publish_bundles(self, bundles: Sequence[Bundle]) -> None:
        """Publish them from within a span of their job's trace, of which whoever runs them makes a part."""
        if bundles and bundles[0].traceparent:
            self._publish_traced(bundles, bundles[0].traceparent)
        else:
            self._call["publish_bundles"](bundles)
        self._instruments.bundles_published.inc(len(bundles))

    def open_bundle_consumer(self, slots: int) -> BundleConsumer:
        """Observe what it delivers."""
        consumer: BundleConsumer = self._inner.open_bundle_consumer(slots)
        return ObservedConsumer(consumer, self._instruments, self._tracing)

    def receive_dead_bundles(self, timeout_seconds: float) -> tuple[DeadBundle, ...]:
        """Count them."""
        dead: tuple[DeadBundle, ...] = self._inner.receive_dead_bundles(timeout_seconds)
        self._instruments.dead_bundles.inc(len(dead))
        return dead

    def _publish_traced(self, bundles: Sequence[Bundle], traceparent: str) -> None:
        facts: Attributes = {"kmeans.job": bundles[0].job_id, "kmeans.bundles": len(bundles)}
        parent = self._tracing.context_of(traceparent)
        with self._tracing.within("publish bundles", SpanKind.PRODUCER, parent, facts):
            here = self._tracing.traceparent()
            # A call carries bundles of one job; should it ever carry others, they keep their own trace.
            sent = [
                replace(bundle, traceparent=here) if bundle.traceparent == traceparent else bundle
                for bundle in bundles
            ]
            self._call["publish_bundles"](sent)
