"""`kmeans-service ui`: the dashboard alone, for a service that runs elsewhere."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.consoles import consoles
from services.cli.signals import Interrupted
from services.core.errors import FailedPrecondition
from services.core.settings import DEFAULT_ADDRESS
from ui.server import DEFAULT_PORT, Dashboard, DashboardFailed

__all__ = ["start_dashboard", "ui"]

_REASON = "DASHBOARD_UNAVAILABLE"


def ui(
    target: Annotated[
        str,
        typer.Option("--target", metavar="HOST:PORT", envvar="KMEANS_GATEWAY", help="The service to show."),
    ] = DEFAULT_ADDRESS,
    address: Annotated[
        str, typer.Option("--address", metavar="HOST", help="Where to listen; 0.0.0.0 for every address.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            "--ui-port", min=1, max=65535, help=f"Default {DEFAULT_PORT}, or the next one that is free."
        ),
    ] = None,
) -> None:
    """Run the dashboard until interrupted."""
    out, _ = consoles()
    with Dashboard(target, address, port) as dashboard:
        try:
            url = start_dashboard(dashboard)
            out.print(f"Dashboard: {url} (for the service at {target})", highlight=False)
            code = dashboard.wait()
        except Interrupted:
            return
    if code:
        raise FailedPrecondition(
            f"The dashboard ended by itself (exit code {code}); its messages are above.", _REASON
        )


def start_dashboard(dashboard: Dashboard) -> str:
    """Start it and return the address to open.

    Raises:
        FailedPrecondition: it cannot be started as asked (`DASHBOARD_UNAVAILABLE`).
    """
    try:
        return dashboard.start()
    except DashboardFailed as error:
        raise FailedPrecondition(str(error), _REASON) from error
