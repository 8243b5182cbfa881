"""A deployment to measure: private servers in a folder of their own, and the service's processes on them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pymongo

from kmeans_client import Client
from tests.servers.fleet import SERVER_NAMES, Servers
from tests.servers.mongodb import drop_database
from tests.servers.ports import HOST, choose_ports

__all__ = ["Deployment", "Process"]

_PROGRAM = Path(sys.executable).parent / "kmeans-service"
_GRACE_SECONDS = 30.0
_READY_SECONDS = 60.0


class Process:
    """One process of the service; started anew under the same name when `restart` is called."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path) -> None:
        """Nothing is started yet."""
        self.name = name
        self._command = [str(_PROGRAM), *command]
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; RuntimeError before the start."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started.")
        return self._process.pid

    def start(self) -> None:
        """Start it; its log is appended to."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self) -> int:
        """SIGTERM, and wait; return the exit code. SIGKILL follows only when the grace was not enough."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._process = None
        return code

    def logged(self, text: str) -> int:
        """How often its log holds this text."""
        return self._log.read_text(errors="replace").count(text) if self._log.exists() else 0


class Deployment:
    """Servers, one gateway, one scheduler and workers; everything under a temporary folder."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        """Use these servers, which run."""
        self.servers = servers
        self.folder = folder
        self.database = f"bench_{uuid.uuid4().hex[:8]}"
        self.store_url = urlsplit(servers.mongodb.url)._replace(path=f"/{self.database}").geturl()
        self.address = f"{HOST}:{choose_ports(['gateway'])['gateway']}"
        self.processes: dict[str, Process] = {}

    @classmethod
    @contextmanager
    def on_servers(cls) -> Iterator[Deployment]:
        """Start servers (or use those that KMEANS_TEST_*_URL name); end and forget everything afterwards."""
        folder = Path(tempfile.mkdtemp(prefix="kmeans-bench-"))
        given = {name: os.environ.get(f"KMEANS_TEST_{name.upper()}_URL", "") for name in SERVER_NAMES}
        servers = Servers(folder / "servers", given)
        try:
            servers.start()
            deployment = cls(servers, folder)
            try:
                yield deployment
            finally:
                deployment.stop()
                with pymongo.MongoClient[dict[str, object]](deployment.store_url) as client:
                    drop_database(client, deployment.database)
        finally:
            servers.stop()
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def store_server(self) -> str:
        """Which program answers as MongoDB."""
        if not self.servers.mongodb.is_ours:
            return "MongoDB at KMEANS_TEST_MONGODB_URL"
        program = Path(self.servers.mongodb.command()[0]).name
        return "mongod" if program == "mongod" else "SecantusDB (Python, --sync-on-commit), not mongod"

    @property
    def workers(self) -> list[Process]:
        """The worker processes."""
        return [process for name, process in self.processes.items() if name.startswith("worker")]

    def start(self, workers: int, slots: int) -> None:
        """Start a gateway, a scheduler and so many workers; return when every worker consumes."""
        self._start("gateway", ["gateway"])
        self._start("scheduler", ["scheduler"])
        self.set_workers(workers, slots)
        with Client(self.address) as client:
            client.wait_until_ready(_READY_SECONDS)

    def set_workers(self, workers: int, slots: int) -> None:
        """End the workers that run, start so many in their place, and wait until they consume."""
        for process in self.workers:
            process.stop()
            del self.processes[process.name]
        for number in range(1, workers + 1):
            self._start(f"worker-{number}", ["worker", "--slots", str(slots)])
        for process in self.workers:
            self.wait_until_it_consumes(process)

    def wait_until_it_consumes(self, process: Process, seen: int = 0) -> None:
        """Until a worker has logged one start more than were seen."""
        deadline = time.monotonic() + _READY_SECONDS
        while process.logged("worker started") <= seen:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{process.name} does not consume after {_READY_SECONDS:g} s.")
            time.sleep(0.05)

    def pids(self) -> dict[str, int]:
        """Every process that takes part, by name; servers that were given are not ours to look into."""
        pids = {name: process.pid for name, process in self.processes.items()}
        for name, server in self.servers.items():
            if server.process is not None:
                pids[name] = server.process.pid
        return pids

    def stop(self) -> None:
        """End the service's processes."""
        for process in self.processes.values():
            process.stop()
        self.processes.clear()

    def _start(self, name: str, command: list[str]) -> None:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("KMEANS_")}
        environment = {
            **clean,
            **self.servers.environment(),
            "KMEANS_STORE_URL": self.store_url,
            "KMEANS_ADDRESS": self.address,
            "KMEANS_ALLOW_ANYONE": "true",
        }
        log = self.folder / f"{name}-{uuid.uuid4().hex[:6]}.log"
        process = self.processes[name] = Process(name, command, environment, log)
        process.start()
