"""One service as a process of its own: from the settings to the shared backends, until a signal ends it."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import structlog

from services.backends.assembly import Backends, open_backends
from services.backends.awaited import AwaitedBackends
from services.cli.logs import configure_logs
from services.cli.signals import Interrupted
from services.core.backoff import backoff_seconds
from services.core.errors import FieldViolation, InvalidInput, Unavailable
from services.core.settings import Settings
from services.telemetry.health import HealthServer
from services.telemetry.telemetry import Telemetry, open_telemetry

__all__ = ["Running", "Start", "serve"]


@dataclass(frozen=True, slots=True)
class Running:
    """A service that was started.

    Attributes:
        stop: ends it within so many seconds.
        is_alive: whether it still does its work; answers at once.
        announce_ready: called once the servers behind it are there, if it was started before.
    """

    stop: Callable[[float], None]
    is_alive: Callable[[], bool]
    announce_ready: Callable[[], None] = lambda: None


# Starts a service on these backends.
Start = Callable[[Backends, Settings, Telemetry], Running]

_LONGEST_PAUSE_SECONDS = 2.0
# A service that has never been ready has refused all it was asked: nothing under way is worth waiting for.
_UNREADY_GRACE_SECONDS = 1.0

_log = structlog.get_logger()


def serve(name: str, settings: Settings, start: Start, *, awaits_servers: bool = True) -> None:
    """Run a service until SIGTERM or SIGINT, then end it within `settings.shutdown_grace_seconds`.

    Args:
        name: of the service.
        settings: which backends, and all else.
        start: starts it.
        awaits_servers: start it when its servers are there. Otherwise at once, on backends that raise
            Unavailable at every use until then.

    Raises:
        InvalidInput: a setting is missing, or names a backend that other processes cannot share.
        Unavailable: the servers behind it did not answer within `settings.startup_seconds`.
    """
    configure_logs(settings.log_level, settings.log_format)
    _check_shared(name, settings)
    with open_telemetry(name, settings) as telemetry, _health(settings, telemetry) as health:
        _serve(_log.bind(service=name), settings, start, health, telemetry, awaits_servers=awaits_servers)


def _serve(
    log: structlog.stdlib.BoundLogger,
    settings: Settings,
    start: Start,
    health: HealthServer | None,
    telemetry: Telemetry,
    *,
    awaits_servers: bool,
) -> None:
    awaited = AwaitedBackends()
    backends: Backends | None = None
    running: Running | None = None
    grace_seconds = min(_UNREADY_GRACE_SECONDS, settings.shutdown_grace_seconds)
    try:
        if not awaits_servers:
            running = start(awaited.backends, settings, telemetry)
        opened = backends = _open_when_there(settings, awaited.note)
        observed = replace(
            opened,
            store=telemetry.store(opened.store),
            queue=telemetry.queue(opened.queue),
            objects=telemetry.objects(opened.objects),
        )
        if running is None:
            running = start(observed, settings, telemetry)
        awaited.open(observed)
        grace_seconds = settings.shutdown_grace_seconds
        running.announce_ready()
        if health is not None:
            health.watch(running.is_alive, lambda: _ping(opened))
        log.info("service started", queue=opened.queue.name)
        threading.Event().wait()
    except Interrupted as signalled:
        log.info("service stops", signal=str(signalled))
    finally:
        if health is not None:
            health.announce_stop()
        if running is not None:
            running.stop(grace_seconds)
        if backends is not None:
            backends.close()
    log.info("service stopped")


@contextmanager
def _health(settings: Settings, telemetry: Telemetry) -> Iterator[HealthServer | None]:
    """Answers probes from before the servers are awaited until the process ends."""
    if settings.health_address is None:
        yield None
        return
    health = HealthServer(on_ready=telemetry.ready)
    try:
        port = health.start(settings.health_address)
        _log.info("health is told", address=settings.health_address, port=port)
        yield health
    finally:
        health.stop()


def _ping(backends: Backends) -> None:
    """Raise Unavailable unless the store and the queue answer; nothing goes on without these two."""
    backends.store.ping()
    backends.queue.ping()


def _check_shared(name: str, settings: Settings) -> None:
    """Refuse what only one process could use; every wrong setting in one go."""
    asked = {
        "KMEANS_QUEUE_URL": (settings.queue_url, "amqp://USER:PASSWORD@HOST:PORT/VHOST"),
        "KMEANS_STORE_URL": (settings.store_url, "mongodb://… (or sqlite:///path on one machine)"),
        "KMEANS_OBJECTS_URL": (settings.objects_url, "s3://bucket/prefix (or file:///path on one machine)"),
    }
    violations = []
    for variable, (url, example) in asked.items():
        if url is None:
            violations.append(FieldViolation(variable, f"{variable} is not set; set it to {example}."))
        elif url.get_secret_value().lower().startswith("memory:"):
            sentence = f"{variable} is memory://, which no other process can reach; set it to {example}."
            violations.append(FieldViolation(variable, sentence))
    if violations:
        sentences = " ".join(violation.description for violation in violations)
        raise InvalidInput(
            f"A {name} of its own works with other processes through shared backends. {sentences}",
            "BACKENDS_NOT_SHARED",
            violations=violations,
        )


def _open_when_there(settings: Settings, note: Callable[[Unavailable], None]) -> Backends:
    """Open the backends; containers start in any order, so servers that are not there yet are awaited.

    `note` is told why each attempt failed.
    """
    deadline = time.monotonic() + settings.startup_seconds
    failures = 0
    while True:
        try:
            return _open(settings)
        except Unavailable as error:
            failures += 1
            note(error)
            seconds = backoff_seconds(failures, random.random(), longest_seconds=_LONGEST_PAUSE_SECONDS)
            if time.monotonic() + seconds > deadline:
                raise type(error)(
                    f"Given up after {settings.startup_seconds:g} s and {failures} attempts: {error.message} "
                    "Start that server, correct its URL, or wait longer with KMEANS_STARTUP_SECONDS.",
                    error.reason,
                ) from error
            _log.warning(
                "waiting for a server", error=str(error), failures=failures, pause_seconds=round(seconds, 3)
            )
            time.sleep(seconds)


def _open(settings: Settings) -> Backends:
    urls = (settings.store_url, settings.queue_url, settings.objects_url)
    store_url, queue_url, objects_url = ("" if url is None else url.get_secret_value() for url in urls)
    backends = open_backends(
        store_url=store_url,
        queue_url=queue_url,
        objects_url=objects_url,
        delivery_limit=settings.delivery_limit,
    )
    try:
        backends.store.ping()
        backends.queue.ping()
        backends.objects.ping()
    except BaseException:
        backends.close()
        raise
    return backends
