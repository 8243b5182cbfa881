"""The composition root of the embedded service."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from types import TracebackType
from urllib.parse import quote

import structlog

import ckernel
from services.backends.assembly import open_backends
from services.core.clock import Clock, utc_now
from services.core.settings import Settings
from services.embedded.home import Home
from services.embedded.recovery import recover_store, remove_orphans
from services.gateway.server import Gateway
from services.scheduler.scheduler import Scheduler
from services.telemetry.telemetry import open_telemetry
from services.worker.worker import Worker

__all__ = ["EmbeddedService"]

# Calls under way at the end; streams are told to go elsewhere before that.
_CALLS_GRACE_SECONDS = 1.0

_log = structlog.get_logger()


class EmbeddedService:
    """Gateway, scheduler and workers in this process, on the backends that the settings name.

    Without any URL in the settings, everything lives under `settings.home`, which no other process may
    use meanwhile.
    """

    def __init__(self, settings: Settings, *, clock: Clock = utc_now) -> None:
        """Nothing is opened yet."""
        self._settings = settings
        self._clock = clock
        self._opened = ExitStack()
        self._home: Home | None = None
        self._worker: Worker | None = None
        self._gateway: Gateway | None = None
        self._scheduler: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self, address: str) -> str:
        """Open the home and serve on HOST:PORT (port 0: any free one); return the address in use.

        Jobs that an earlier process left unfinished are taken up at once.

        Raises:
            HomeInUse: another process uses the home.
            InvalidInput: the home or the address cannot be used.
        """
        with ExitStack() as opening:
            home = opening.enter_context(Home(self._settings.home))
            backends = open_backends(
                store_url=self._url("store_url", f"sqlite://{quote(str(home.path / 'jobs.sqlite'))}"),
                queue_url=self._url("queue_url", "memory://"),
                objects_url=self._url("objects_url", f"file://{quote(str(home.path / 'objects'))}"),
                delivery_limit=self._settings.delivery_limit,
            )
            opening.callback(backends.close)
            telemetry = opening.enter_context(open_telemetry("embedded", self._settings))
            store, queue = telemetry.store(backends.store), telemetry.queue(backends.queue)
            objects = telemetry.objects(backends.objects)
            # The home's lock proves that what lies in the home is ours alone, and nothing of what does not.
            if self._settings.store_url is None:
                recover_store(store)
                if self._settings.objects_url is None:
                    remove_orphans(store, objects)
            gateway = Gateway(
                store,
                queue,
                objects,
                self._settings,
                clock=self._clock,
                interceptors=telemetry.interceptors,
            )
            port = gateway.start(address)
            opening.callback(gateway.stop, _CALLS_GRACE_SECONDS)
            bound = f"{address.rpartition(':')[0]}:{port}"
            home.announce(bound, uses_tls=self._settings.tls_certificate is not None)
            scheduler = Scheduler(store, queue, self._settings, objects, clock=self._clock)
            self._scheduler = threading.Thread(
                target=scheduler.run, args=(self._stopping,), name="scheduler", daemon=True
            )
            worker = Worker(
                store, queue, objects, self._settings, clock=self._clock, fit=telemetry.fit(ckernel.fit)
            )
            worker.start()
            self._scheduler.start()
            self._home, self._worker, self._gateway = home, worker, gateway
            self._opened = opening.pop_all()
        _log.info("embedded service started", address=bound, home=str(home.path))
        return bound

    def stop(self, grace_seconds: float | None = None) -> None:
        """Hand back what runs, then close everything; idempotent.

        Watchers are told first that the service goes, then workers finish their current fit (within the
        grace), so that the queue and the store are still there to take what they hand back.
        """
        grace = self._settings.shutdown_grace_seconds if grace_seconds is None else grace_seconds
        self._stopping.set()
        if self._home is not None:
            self._home.withdraw()
        if self._gateway is not None:
            self._gateway.announce_stop()
        if self._worker is not None:
            self._worker.stop(grace)
        if self._scheduler is not None:
            self._scheduler.join(grace)
        self._opened.close()
        self._home = self._worker = self._gateway = self._scheduler = None

    def _url(self, name: str, embedded: str) -> str:
        secret = getattr(self._settings, name)
        return embedded if secret is None else str(secret.get_secret_value())

    def __enter__(self) -> EmbeddedService:
        """Return the service itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()
