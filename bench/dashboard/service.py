"""`kmeans-service up` in a folder of its own, as a person starts it, and a look at its two processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.api.gateway_process import Process

__all__ = ["Service", "service"]

_PROGRAM = Path(sys.executable).parent / "kmeans-service"
_WATCHES = re.compile(r"kmeans_rpcs_in_flight\{[^}]*WatchJob[^}]*\} ([0-9.]+)")


@dataclass(frozen=True, slots=True)
class Service:
    """What runs: the service itself, its dashboard, and where they are."""

    gateway: Process
    dashboard: Process
    target: str
    url: str
    metrics_url: str

    def watches(self) -> int:
        """WatchJob streams that are open on the gateway."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(self.metrics_url, timeout=10) as response:
            found = _WATCHES.search(response.read().decode())
        return int(float(found[1])) if found else 0


@contextmanager
def service(folder: Path, workers: int) -> Iterator[Service]:
    # Ports that nobody else takes by default: another dashboard would answer in place of a slow one of ours.
    target, metrics, ui_port = f"127.0.0.1:{_free_port()}", f"127.0.0.1:{_free_port()}", _free_port()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KMEANS_")}
    environment = clean | {
        "KMEANS_HOME": str(folder / "home"),
        "KMEANS_METRICS_ADDRESS": metrics,
        "KMEANS_LOG_LEVEL": "error",
    }
    with subprocess.Popen(
        [_PROGRAM, "up", "--address", target, "--workers", str(workers), "--ui-port", str(ui_port)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as started:
        try:
            assert started.stdout is not None
            url = next(line.split()[-1] for line in started.stdout if line.startswith("Dashboard: "))
            yield Service(
                Process(started.pid, int(target.rpartition(":")[2])),
                Process(_child(started.pid), int(url.rpartition(":")[2])),
                target,
                url,
                f"http://{metrics}/metrics",
            )
        finally:
            started.send_signal(signal.SIGTERM)
            try:
                started.wait(30)
            except subprocess.TimeoutExpired:
                started.kill()


def _child(pid: int) -> int:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        children = (thread / "children").read_text().split()
        if children:
            return int(children[0])
    raise LookupError("the service has no dashboard")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
