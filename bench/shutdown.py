"""How long each process takes to end after SIGTERM: idle, busy, and with its servers away.

    python -m bench.shutdown

On private servers (tests.servers), each server behind a proxy that can be cut. Busy is a worker at its fits,
a gateway with an open watch, a scheduler with a job of 6,000 tasks to publish, an `up` with all of that.
`up` has no servers that could be away, and what the dashboard does are calls of a gateway.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from kmeans.v1 import job_pb2

from kmeans_client import Client
from kmeans_client.errors import Unreachable
from tests.chaos.proxy import Proxy
from tests.servers.fleet import Servers
from tests.servers.ports import HOST, choose_ports

__all__ = ["main"]

_PROGRAM = Path(sys.executable).parent / "kmeans-service"
_NAMES = ("gateway", "scheduler", "worker")
_SECONDS = 90.0


@contextmanager
def _services(
    folder: Path, servers: Servers
) -> Iterator[tuple[str, dict[str, subprocess.Popen[bytes]], list[Proxy]]]:
    """A gateway's address, the three processes by name, and the proxies before their servers."""
    given = servers.environment()
    name = f"shutdown-{secrets.token_hex(4)}"
    with ExitStack() as opened:
        proxies = []
        for server, kind in ((servers.mongodb, "mongodb"), (servers.rabbitmq, "amqp")):
            proxy = Proxy(
                kind, choose_ports([kind])[kind], lambda server=server, kind=kind: server.port(kind)
            )
            proxy.start()
            opened.callback(proxy.stop)
            proxies.append(proxy)
        query = urlsplit(given["KMEANS_STORE_URL"]).query
        address = f"{HOST}:{choose_ports(['calls'])['calls']}"
        environment = {
            **os.environ,
            **given,
            "KMEANS_STORE_URL": f"mongodb://{HOST}:{proxies[0].port}/{name}?{query}&directConnection=true",
            "KMEANS_QUEUE_URL": f"amqp://guest:guest@{HOST}:{proxies[1].port}/%2F?prefix={name}&heartbeat=4",
            "KMEANS_ADDRESS": address,
            "KMEANS_WORKER_SLOTS": "2",
        }
        processes = {}
        for each in _NAMES:
            log = (folder / f"{each}-{name}.log").open("wb")
            opened.callback(log.close)
            processes[each] = subprocess.Popen([_PROGRAM, each], env=environment, stdout=log, stderr=log)
            opened.callback(_kill, processes[each])
        for each in _NAMES:
            _await_started(folder / f"{each}-{name}.log")
        yield address, processes, proxies


@contextmanager
def _alone(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """`up` or `ui`, once its dashboard answers."""
    log = folder / f"{arguments[0]}-{secrets.token_hex(4)}.log"
    environment = {**os.environ, "KMEANS_HOME": str(folder / log.stem)}
    with log.open("wb") as stream:
        process = subprocess.Popen([_PROGRAM, *arguments], env=environment, stdout=stream, stderr=stream)
    try:
        _await_started(log, "Dashboard: ")
        yield process
    finally:
        _kill(process)


def _end_alone(folder: Path) -> dict[str, dict[str, str]]:
    """Seconds of the dashboard alone, and of the whole in one process."""
    ports = choose_ports(["calls", "idle", "busy", "ui"])
    nobody, address = f"{HOST}:{ports['calls']}", f"{HOST}:{ports['busy']}"
    with _alone(folder, "ui", "--target", nobody, "--ui-port", str(ports["ui"])) as process:
        dashboard = _end(process)
    with _alone(folder, "up", "--address", f"{HOST}:{ports['idle']}") as process:
        idle = _end(process)
    with _alone(folder, "up", "--address", address) as process:
        _begin_job(address)
        busy = _end(process)
    return {
        "ui": {"idle": dashboard, "busy": "-", "servers away": "-"},
        "up": {"idle": idle, "busy": busy, "servers away": "-"},
    }


def _await_started(log: Path, sign: str = "service started") -> None:
    deadline = time.monotonic() + _SECONDS
    while sign not in log.read_text():
        if time.monotonic() > deadline:
            raise SystemExit(f"A service did not start: see {log}.")
        time.sleep(0.05)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()


def _end(process: subprocess.Popen[bytes]) -> str:
    began = time.perf_counter()
    process.send_signal(signal.SIGTERM)
    code = process.wait(_SECONDS)
    return f"{time.perf_counter() - began:.1f} s" + (f" (exit {code})" if code else "")


def _begin_job(address: str) -> None:
    """A long job, and a watch of it that is open until its gateway ends."""
    table = "a,b\n" + "\n".join(f"{n % 97}.{n % 7},{n * n % 89}.{n % 5}" for n in range(3000)) + "\n"
    client = Client(address)
    dataset = client.upload_dataset(io.BytesIO(table.encode()), display_name="t.csv")
    job = client.create_job(job_pb2.JobSpec(dataset=dataset.name, max_k=10, n_experiments=100, n_init=20)).job
    seen = threading.Event()

    def watch() -> None:
        # Until its gateway ends, and with it the only one there is.
        with contextlib.suppress(Unreachable):
            for step in client.watch_job(job.name):
                if step.job.task_counts.done:
                    seen.set()

    threading.Thread(target=watch, daemon=True).start()
    if not seen.wait(_SECONDS):
        raise SystemExit("No task of the job ended in time.")


def main() -> None:
    """Print a table of seconds, one row per process."""
    found: dict[str, dict[str, str]] = {name: {} for name in _NAMES}
    with tempfile.TemporaryDirectory(prefix="kmeans-shutdown-") as folder, ExitStack() as opened:
        servers = Servers(Path(folder) / "servers")
        servers.start()
        opened.callback(servers.stop)
        for state in ("idle", "busy", "servers away"):
            with _services(Path(folder), servers) as (address, processes, proxies):
                with Client(address) as client:
                    client.wait_until_ready(_SECONDS)
                if state == "busy":
                    _begin_job(address)
                if state == "servers away":
                    for proxy in proxies:
                        proxy.cut()
                for name in reversed(_NAMES):
                    found[name][state] = _end(processes[name])
        found |= _end_alone(Path(folder))
    print("| process | idle | busy | servers away |\n| --- | --- | --- | --- |")
    for name, row in found.items():
        print(f"| {name} | {row['idle']} | {row['busy']} | {row['servers away']} |")
    # The watch goes on looking for a gateway.
    os._exit(0)


if __name__ == "__main__":
    main()
