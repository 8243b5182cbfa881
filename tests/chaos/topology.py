"""The topology: real servers, a proxy before each, and the service's processes behind those."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from services.backends.assembly import Backends, open_backends
from services.core.settings import read_settings
from tests.chaos.pods import Ending, Pod
from tests.chaos.proxy import Proxy
from tests.servers.fleet import Servers
from tests.servers.ports import HOST, choose_ports

__all__ = ["Size", "Topology"]

_PROGRAM = Path(sys.executable).parent / "kmeans-service"
_GRACE_SECONDS = 5.0
_SETTINGS = {
    # Short, so that what a death costs is over within the run; in relation to each other as by default.
    "KMEANS_LEASE_SECONDS": "5",
    "KMEANS_SWEEP_SECONDS": "0.5",
    "KMEANS_REPUBLISH_SECONDS": "6",
    "KMEANS_BUNDLE_SECONDS": "0.5",
    "KMEANS_SHUTDOWN_GRACE_SECONDS": "4",
    "KMEANS_LOG_FORMAT": "json",
}
_HEARTBEAT_SECONDS = 4


@dataclass(frozen=True, slots=True)
class Size:
    """How many processes of each service; every worker has one slot."""

    gateways: int = 2
    schedulers: int = 2
    workers: int = 3


class Topology:
    """Everything that runs, by name. Workers have a way to the broker each; all else is shared.

    Attributes:
        store, objects, broker: the proxies before the servers; `worker_brokers` those of the workers.
    """

    def __init__(self, folder: Path, size: Size = Size()) -> None:
        """Nothing is started yet; servers, logs and state are under `folder`."""
        self.folder = folder
        self.size = size
        self.servers = Servers(folder / "servers")
        self.targets: list[str] = []
        self.gateways: list[Pod] = []
        self.schedulers: list[Pod] = []
        self.workers: list[Pod] = []
        self.proxies: dict[str, Proxy] = {}
        self.worker_brokers: list[Proxy] = []

    @property
    def pods(self) -> list[Pod]:
        """Every process of the service."""
        return [*self.gateways, *self.schedulers, *self.workers]

    @property
    def endings(self) -> list[Ending]:
        """Every end of a process so far."""
        return [ending for pod in self.pods for ending in pod.endings]

    def start_servers(self) -> None:
        """Start the servers and the proxies; ServerMissing or ServerFailed when one cannot be had."""
        self.servers.start()
        mongodb, rabbitmq, s3 = self.servers.mongodb, self.servers.rabbitmq, self.servers.s3
        self.proxies["store"] = self._proxy("store", lambda: mongodb.port("mongodb"))
        self.proxies["objects"] = self._proxy("objects", lambda: s3.port("s3"))
        self.proxies["broker"] = self._proxy("broker", lambda: rabbitmq.port("amqp"))
        for number in range(self.size.workers):
            self.worker_brokers.append(
                self._proxy(f"broker-of-worker-{number}", lambda: rabbitmq.port("amqp"))
            )

    def start_service(self) -> None:
        """Start gateways, schedulers and workers; they come up in whatever order they like."""
        ports = choose_ports([f"gateway-{number}" for number in range(self.size.gateways)])
        for name, port in ports.items():
            self.targets.append(f"{HOST}:{port}")
            self.gateways.append(self._pod(name, "gateway", {"KMEANS_ADDRESS": self.targets[-1]}))
        for number in range(self.size.schedulers):
            self.schedulers.append(self._pod(f"scheduler-{number}", "scheduler"))
        for number, proxy in enumerate(self.worker_brokers):
            own = {"KMEANS_QUEUE_URL": self._queue_url(proxy.port), "KMEANS_WORKER_SLOTS": "1"}
            self.workers.append(self._pod(f"worker-{number}", "worker", own))
        for pod in self.pods:
            pod.start()

    def open_backends(self) -> Backends:
        """The backends without any proxy, for the verdict."""
        environment = self.servers.environment()
        os.environ.update({name: value for name, value in environment.items() if not name.endswith("_URL")})
        os.environ["KMEANS_S3_ENDPOINT_URL"] = environment["KMEANS_S3_ENDPOINT_URL"]
        return open_backends(
            store_url=self._store_url(self.servers["mongodb"].port("mongodb")),
            queue_url=environment["KMEANS_QUEUE_URL"],
            objects_url=environment["KMEANS_OBJECTS_URL"],
            delivery_limit=read_settings().delivery_limit,
        )

    def stop(self) -> None:
        """End everything, processes first; the first error is raised when every end has been tried."""
        with ThreadPoolExecutor(max(1, len(self.pods))) as pool:
            stops = [pool.submit(pod.stop) for pod in self.pods]
        for proxy in (*self.proxies.values(), *self.worker_brokers):
            proxy.stop()
        self.servers.stop()
        for stop in stops:
            stop.result()

    def leftovers(self) -> list[str]:
        """What still runs, after `stop`."""
        pods = [f"{pod.name} (process {pod.pid})" for pod in self.pods if pod.pid is not None]
        return pods + [f"server {name}" for name, server in self.servers.items() if server.process]

    def _proxy(self, name: str, server_port: Callable[[], int]) -> Proxy:
        proxy = Proxy(name, choose_ports([name])[name], server_port)
        proxy.start()
        return proxy

    def _pod(self, name: str, command: str, own: Mapping[str, str] | None = None) -> Pod:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("KMEANS_")}
        environment = {
            **clean,
            **self.servers.environment(),
            **_SETTINGS,
            "KMEANS_STORE_URL": self._store_url(self.proxies["store"].port),
            "KMEANS_QUEUE_URL": self._queue_url(self.proxies["broker"].port),
            "KMEANS_S3_ENDPOINT_URL": f"http://{HOST}:{self.proxies['objects'].port}",
            **(own or {}),
        }
        return Pod(name, [str(_PROGRAM), command], environment, self.folder, _GRACE_SECONDS + 5.0)

    def _store_url(self, port: int) -> str:
        # Direct: a replica set tells clients where it is, and they would go there, past the proxy.
        database = urlsplit(self.servers["mongodb"].url)
        return f"mongodb://{HOST}:{port}{database.path}?{database.query}&directConnection=true"

    def _queue_url(self, port: int) -> str:
        return f"amqp://guest:guest@{HOST}:{port}/%2F?heartbeat={_HEARTBEAT_SECONDS}"
