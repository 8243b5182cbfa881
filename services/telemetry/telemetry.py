"""Telemetry of a process, if the settings or the environment ask for any."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import grpc

from services.core.ports import ObjectStore, Store, TaskQueue
from services.core.settings import Settings

if TYPE_CHECKING:
    from services.telemetry.observation import Observation

__all__ = ["Telemetry", "open_telemetry"]

_R = TypeVar("_R")
_DISABLED = "OTEL_SDK_DISABLED"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Telemetry:
    """Observes what it is given, or gives it back as it is: a process nobody watches pays nothing."""

    def __init__(self, observation: Observation | None = None) -> None:
        """Have this observe; nothing, when not given."""
        self._observation = observation

    def store(self, store: Store) -> Store:
        """The store to work on."""
        return store if self._observation is None else self._observation.store(store)

    def queue(self, queue: TaskQueue) -> TaskQueue:
        """The queue to work on."""
        return queue if self._observation is None else self._observation.queue(queue)

    def objects(self, objects: ObjectStore) -> ObjectStore:
        """The object store to work on."""
        return objects if self._observation is None else self._observation.objects(objects)

    def fit(self, fit: Callable[..., _R]) -> Callable[..., _R]:
        """The kernel to compute with."""
        return fit if self._observation is None else self._observation.fit(fit)

    def ready(self, is_ready: bool) -> None:
        """Tell whether the process is ready."""
        if self._observation is not None:
            self._observation.ready(is_ready)

    @property
    def interceptors(self) -> tuple[grpc.ServerInterceptor, ...]:
        """What is to surround the gateway's own interceptors."""
        return () if self._observation is None else (self._observation.rpcs(),)


@contextmanager
def open_telemetry(service: str, settings: Settings) -> Iterator[Telemetry]:
    """Tell metrics on `settings.metrics_address`, and send traces where OTEL_EXPORTER_OTLP_ENDPOINT says.

    Raises:
        FailedPrecondition: nothing can listen on that address (`ADDRESS_NOT_AVAILABLE`).
        InvalidInput: one of the OTEL_* variables cannot be used (`BAD_SETTINGS`).
    """
    is_traced = _are_traces_wanted(os.environ)
    if settings.metrics_address is None and not is_traced:
        yield Telemetry()
        return
    # Here, because most who run the embedded service never need them, and they take a while to import.
    from services.telemetry.observation import Observation
    from services.telemetry.tracing import Tracing, open_provider

    provider = open_provider(service) if is_traced else None
    observation = Observation(service, Tracing(provider))
    try:
        if settings.metrics_address is not None:
            observation.serve(settings.metrics_address)
        yield Telemetry(observation)
    finally:
        observation.close()


def _are_traces_wanted(environment: Mapping[str, str]) -> bool:
    is_disabled = environment.get(_DISABLED, "").lower() == "true"
    return not is_disabled and any(environment.get(name) for name in _ENDPOINTS)
