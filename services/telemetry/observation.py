"""What observes one process: its metrics, its traces, and the wrappers that feed them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import structlog

from services.core.ports import ObjectStore, Store, TaskQueue
from services.telemetry.calls import observed_calls
from services.telemetry.census import Census
from services.telemetry.exposition import MetricsServer
from services.telemetry.instruments import Instruments
from services.telemetry.queues import ObservedQueue
from services.telemetry.rpcs import RpcObserver
from services.telemetry.stores import ObservedStore
from services.telemetry.tracing import Tracing

__all__ = ["Observation"]

_R = TypeVar("_R")


class Observation:
    """Wraps the ports of a process; nothing of the services behind them knows."""

    def __init__(self, service: str, tracing: Tracing | None = None) -> None:
        """Observe a process of this name."""
        self._service = service
        self.instruments = Instruments(service)
        self.tracing = tracing or Tracing()
        self._server = MetricsServer(self.instruments.registry)
        self._census: Census | None = None

    def serve(self, address: str) -> int:
        """Tell the metrics on HOST:PORT; return the port. Raises FailedPrecondition when that is taken."""
        return self._server.start(address)

    def ready(self, is_ready: bool) -> None:
        """Tell whether the process is ready, as its probes are told."""
        self.instruments.ready.labels(self._service).set(int(is_ready))

    def store(self, store: Store) -> Store:
        """The same store, observed."""
        census = self._census = Census(store, self.instruments)
        self.instruments.registry.register(census)
        return cast(Store, ObservedStore(store, self.instruments, self.tracing, census.note))

    def queue(self, queue: TaskQueue) -> TaskQueue:
        """The same queue, observed."""
        return cast(TaskQueue, ObservedQueue(queue, self.instruments, self.tracing))

    def objects(self, objects: ObjectStore) -> ObjectStore:
        """The same object store, observed."""
        return cast(ObjectStore, observed_calls(objects, "objects", self.instruments, self.tracing))

    def rpcs(self) -> RpcObserver:
        """An interceptor for the gateway, to be the outermost."""
        return RpcObserver(self.instruments, self.tracing)

    def fit(self, fit: Callable[..., _R]) -> Callable[..., _R]:
        """The same kernel, each fit a span within that of its bundle."""

        def traced(data: Any, k: int, covariance: str, **options: Any) -> _R:
            if not self.tracing.is_within():
                return fit(data, k, covariance, **options)
            facts: dict[str, str | int | float | bool] = {"kmeans.k": k, "kmeans.covariance": covariance}
            task_id = structlog.contextvars.get_contextvars().get("task_id")
            if task_id is not None:
                facts["kmeans.task"] = task_id
            with self.tracing.within("fit", attributes=facts) as span:
                fitted = fit(data, k, covariance, **options)
                span.set_attribute("kmeans.iterations", int(getattr(fitted, "n_iter", 0)))
                return fitted

        return traced

    def close(self) -> None:
        """Tell no more, and send the spans that are left."""
        if self._census is not None:
            self._census.stop()
        self._server.stop()
        self.tracing.close()
