"""`kmeans-service up`: the embedded service and its dashboard until interrupted."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Annotated

import typer

from services.cli.consoles import consoles
from services.cli.logs import configure_logs
from services.cli.signals import Interrupted
from services.cli.ui import own_dashboard, start_dashboard
from services.core.settings import read_settings
from ui.server import DEFAULT_PORT

__all__ = ["up"]


def up(
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="HOST:PORT", help="Where to listen; default 127.0.0.1:50051."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, max=256, help="Fits at once; default: every core."),
    ] = None,
    no_ui: Annotated[bool, typer.Option("--no-ui", help="Do not start the dashboard.")] = False,
    ui_port: Annotated[
        int | None,
        typer.Option(
            "--ui-port",
            min=1,
            max=65535,
            help=f"The dashboard's port on 127.0.0.1; default {DEFAULT_PORT}, or the next one that is free.",
        ),
    ] = None,
) -> None:
    """Run the embedded service and its dashboard until interrupted."""
    from services.embedded.service import EmbeddedService

    settings = read_settings(**({} if workers is None else {"worker_slots": workers}))
    configure_logs(settings.log_level, settings.log_format)
    with EmbeddedService(settings) as service:
        listening = service.start(address or settings.address)
        out, _ = consoles()
        with ExitStack() as opened:
            try:
                out.print(f"The service listens on {listening}. Stop it with Ctrl-C.", highlight=False)
                if not no_ui:
                    dashboard = opened.enter_context(own_dashboard(listening, settings, ui_port))
                    out.print(f"Dashboard: {start_dashboard(dashboard)}", highlight=False)
                threading.Event().wait()
            except Interrupted:
                out.print("Stopping: unfinished jobs go on at the next start.", highlight=False)
