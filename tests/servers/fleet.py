"""The three servers together: RabbitMQ, MongoDB and S3 under one folder.

servers = Servers(folder)               # private, or shared_servers() for the checkout's own
servers.start()
servers["rabbitmq"].restart(wipe=True)  # or .kill(), .stop(), .start()
servers.stop()
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tests.servers.mongodb import MongoDB
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.seaweedfs import SeaweedFS
from tests.servers.server import Server
from tests.servers.state import locked

__all__ = ["SERVER_NAMES", "Servers", "shared_servers"]

SERVER_NAMES = ("rabbitmq", "mongodb", "s3")
_ROOT = Path(__file__).parents[2]


class Servers(Mapping[str, Server]):
    """The servers by name; nothing is started yet."""

    def __init__(self, folder: Path, given_urls: Mapping[str, str] | None = None) -> None:
        """`given_urls` names servers, by name, that exist already and are not ours."""
        given = given_urls or {}
        self.folder = folder.absolute()
        self.rabbitmq = RabbitMQ(folder, given.get("rabbitmq", ""))
        self.mongodb = MongoDB(folder, given.get("mongodb", ""))
        self.s3 = SeaweedFS(folder, given.get("s3", ""))

    def __getitem__(self, name: str) -> Server:
        """The server of this name."""
        servers: dict[str, Server] = {"rabbitmq": self.rabbitmq, "mongodb": self.mongodb, "s3": self.s3}
        return servers[name]

    def __iter__(self) -> Iterator[str]:
        """Names, in the order of `SERVER_NAMES`."""
        return iter(SERVER_NAMES)

    def __len__(self) -> int:
        """Three."""
        return len(SERVER_NAMES)

    def start(self) -> None:
        """Start all of them beside each other; the first error is raised when every start has ended."""
        with ThreadPoolExecutor(len(self)) as pool:
            starts = [pool.submit(server.start) for server in self.values()]
        for start in starts:
            start.result()

    def stop(self) -> None:
        """End all of them; data stays."""
        with ThreadPoolExecutor(len(self)) as pool:
            stops = [pool.submit(server.stop) for server in self.values()]
        for stop in stops:
            stop.result()

    def environment(self) -> dict[str, str]:
        """The settings with which the service uses these servers."""
        settings = {
            "KMEANS_STORE_URL": self.mongodb.url,
            "KMEANS_QUEUE_URL": self.rabbitmq.url,
            "KMEANS_OBJECTS_URL": self.s3.url,
        }
        for server in self.values():
            settings.update(server.environment)
        return settings

    def keep(self) -> None:
        """They were started by hand: no test session stops them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._kept.touch()

    def release(self) -> None:
        """The last test session that uses them may stop them again."""
        self._kept.unlink(missing_ok=True)

    @contextmanager
    def session(self) -> Iterator[None]:
        """While a test session uses them; the last one to leave stops what was not started by hand."""
        in_use = self.folder / "in-use"
        with locked(in_use, shared=True):
            yield
        with locked(in_use, wait=False) as alone:
            if alone is not None and not self._kept.exists():
                self.stop()

    @property
    def _kept(self) -> Path:
        return self.folder / "kept"


def shared_servers() -> Servers:
    """Those of the checkout, under `.servers`; a KMEANS_TEST_(RABBITMQ|MONGODB|S3)_URL replaces one.

    KMEANS_SERVERS_DIR names another folder.
    """
    folder = Path(os.environ.get("KMEANS_SERVERS_DIR") or _ROOT / ".servers")
    given = {name: os.environ.get(f"KMEANS_TEST_{name.upper()}_URL", "") for name in SERVER_NAMES}
    return Servers(folder, given)
