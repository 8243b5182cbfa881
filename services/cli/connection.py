"""How a command reaches the service: a running one by address, or an embedded one that it starts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kmeans_client import Client, Credentials
from services.core.errors import HomeInUse
from services.core.settings import Settings, read_settings

__all__ = ["Connection", "connect_or_embed"]

_LOOPBACK = "127.0.0.1:0"
_STARTING_SECONDS = 60.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Connection:
    """A client, and whether the service behind it belongs to another command on the same home.

    Such a service ends with its own command; whoever is attached then takes the home over.
    """

    client: Client
    is_attached: bool


@contextlib.contextmanager
def connect_or_embed(
    target: str | None, workers: int | None, *, wait: Callable[[float], None] = time.sleep
) -> Iterator[Connection]:
    """Connect to `target`; without one, start the embedded service, or use the one on the same home.

    Raises:
        HomeInUse: a process holds the home and does not say within 60 s where it listens.
    """
    if target:
        with Client.from_environment(target) as client:
            yield Connection(client, is_attached=False)
        return
    # Imported late: a command that talks to a running service needs neither kernel nor backends.
    from services.embedded.home import find_running_service
    from services.embedded.service import EmbeddedService

    settings: Settings = read_settings(**({} if workers is None else {"worker_slots": workers}))
    # Ours alone, on loopback and for as long as the command takes: its name is in no certificate.
    settings = settings.model_copy(update={"tls_certificate": None, "tls_key": None, "tls_client_ca": None})
    for remaining in range(int(_STARTING_SECONDS / _POLL_SECONDS), -1, -1):
        service = EmbeddedService(settings)
        try:
            address = service.start(_LOOPBACK)
        except HomeInUse:
            running = find_running_service(settings.home)
            if running is not None:
                with _client(running.address, uses_tls=running.uses_tls) as client:
                    yield Connection(client, is_attached=True)
                return
            if not remaining:
                raise
            wait(_POLL_SECONDS)
            continue
        try:
            with _client(address, uses_tls=False) as client:
                yield Connection(client, is_attached=False)
        finally:
            service.stop()
        return


def _client(address: str, *, uses_tls: bool) -> Client:
    """A client of a service on this machine, which shows the token of the environment."""
    if uses_tls:
        return Client.from_environment(address)
    return Client(address, token=Credentials.from_environment().token)
