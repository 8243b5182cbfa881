"""`kmeans-service gateway`: the gRPC front door as a process of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from services.backends.assembly import Backends
from services.cli.consoles import consoles
from services.cli.serve import Running, serve
from services.core.settings import Settings, read_settings
from services.telemetry.telemetry import Telemetry

__all__ = ["gateway"]


def gateway(
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="HOST:PORT", help="Where to listen; default 127.0.0.1:50051."),
    ] = None,
) -> None:
    """Run a gateway on the shared backends until interrupted; several may run at once."""
    from services.gateway.server import Gateway

    def start(backends: Backends, settings: Settings, telemetry: Telemetry) -> Running:
        server = Gateway(
            backends.store,
            backends.queue,
            backends.objects,
            settings,
            interceptors=telemetry.interceptors,
        )
        port = server.start(settings.address, is_ready=False)
        out, _ = consoles()
        out.print(f"The gateway listens on {settings.address.rpartition(':')[0]}:{port}.", highlight=False)
        # Its threads are gRPC's own: a gateway that answers probes has them.
        return Running(server.stop, lambda: True, server.announce_ready)

    # It listens at once: who calls before the servers are there is told so, and when to try again.
    settings = read_settings(**({} if address is None else {"address": address}))
    serve("gateway", settings, start, awaits_servers=False)
