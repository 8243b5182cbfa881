"""`kmeans-service worker`: runs bundles, as a process of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from services.backends.assembly import Backends
from services.cli.serve import Running, serve
from services.core.settings import Settings, read_settings
from services.telemetry.telemetry import Telemetry

__all__ = ["worker"]


def worker(
    slots: Annotated[
        int | None,
        typer.Option("--slots", min=1, max=256, help="Fits at once; default: every core."),
    ] = None,
) -> None:
    """Run a worker on the shared backends until interrupted; several may run at once."""
    import ckernel
    from services.worker import Worker

    def start(backends: Backends, settings: Settings, telemetry: Telemetry) -> Running:
        running = Worker(
            backends.store, backends.queue, backends.objects, settings, fit=telemetry.fit(ckernel.fit)
        )
        running.start()

        def stop(grace_seconds: float) -> None:
            running.stop(grace_seconds)

        return Running(stop, lambda: running.is_alive)

    serve("worker", read_settings(**({} if slots is None else {"worker_slots": slots})), start)
