"""`kmeans-service ui`: the dashboard alone, for a service that runs elsewhere."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from kmeans_client import Client, Credentials, KMeansError
from services.cli.consoles import consoles
from services.cli.signals import Interrupted
from services.core.errors import FailedPrecondition
from services.core.settings import DEFAULT_ADDRESS, Settings
from ui.server import DEFAULT_PORT, Dashboard, DashboardFailed

__all__ = ["own_dashboard", "start_dashboard", "ui"]

_REASON = "DASHBOARD_UNAVAILABLE"
_TLS_FILES = ("KMEANS_TLS_CA", "KMEANS_TLS_CLIENT_CERTIFICATE", "KMEANS_TLS_CLIENT_KEY")
_READY_SECONDS = 15.0
_UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}


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


def own_dashboard(listening: str, settings: Settings, port: int | None) -> Dashboard:
    """The dashboard of a service in this process, which is called as any client calls it.

    Raises:
        FailedPrecondition: the service would not let it in (`DASHBOARD_UNAVAILABLE`).
    """
    host, _, service_port = listening.rpartition(":")
    target = f"{_UNSPECIFIED.get(host, host)}:{service_port}"
    environment = dict(os.environ)
    if settings.tls_certificate is None:
        # They are for services elsewhere: this one speaks plain text.
        for name in _TLS_FILES:
            environment.pop(name, None)
    found = Credentials.from_environment(environment)
    if settings.tls_certificate is not None and found.ca is None:
        raise _no_entry(
            "The service speaks TLS and the dashboard does not know whom to trust. Set KMEANS_TLS_CA to the "
            "file of the authority that signed the service's certificate, or to 'system'"
        )
    if settings.tls_client_ca is not None and found.certificate is None:
        raise _no_entry(
            "The service asks for a certificate and the dashboard has none. Set "
            "KMEANS_TLS_CLIENT_CERTIFICATE and KMEANS_TLS_CLIENT_KEY"
        )
    if (settings.tokens_file is not None or settings.tokens is not None) and not found.token:
        raise _no_entry(
            "The service asks for a token and the dashboard has none. Set KMEANS_TOKEN to one of the "
            "service's tokens: whoever reaches the dashboard then uses the service in that owner's name"
        )
    try:
        with Client(
            target, token=found.token, ca=found.ca, certificate=found.certificate, key=found.key
        ) as client:
            client.wait_until_ready(_READY_SECONDS)
            next(client.list_jobs(), None)
    except KMeansError as error:
        raise _no_entry(f"The service does not let its dashboard in at {target}. {error.message}") from error
    return Dashboard(target, port=port, environment=environment)


def _no_entry(why: str) -> FailedPrecondition:
    return FailedPrecondition(f"{why.rstrip('.')}; or start without the dashboard, with --no-ui.", _REASON)
