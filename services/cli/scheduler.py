"""`kmeans-service scheduler`: expands jobs and sweeps, as a process of its own."""

from __future__ import annotations

import threading

from services.backends.assembly import Backends
from services.cli.serve import Running, serve
from services.core.settings import Settings, read_settings
from services.telemetry.telemetry import Telemetry

__all__ = ["scheduler"]


def scheduler() -> None:
    """Run a scheduler on the shared backends until interrupted; several may run at once."""
    from services.scheduler import Scheduler

    def start(backends: Backends, settings: Settings, _telemetry: Telemetry) -> Running:
        # On a thread of its own: a signal must not cut through a turn.
        stopping = threading.Event()
        loop = Scheduler(backends.store, backends.queue, settings, backends.objects)
        thread = threading.Thread(target=loop.run, args=(stopping,), name="scheduler", daemon=True)
        thread.start()

        def stop(grace_seconds: float) -> None:
            stopping.set()
            thread.join(grace_seconds)

        return Running(stop, thread.is_alive)

    serve("scheduler", read_settings(), start)
