"""Gateway, schedulers and workers as processes of their own, on a real RabbitMQ."""

from __future__ import annotations

import re
import secrets
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.e2e.conftest import PATIENCE_SECONDS, PROGRAM, Program, await_that
from tests.servers.ports import choose_ports

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SMALL = ("--max-k", "6", "--experiments", "4", "--seed", "3")
LONG = ("--max-k", "10", "--experiments", "10", "--n-init", "60", "--seed", "3")


@dataclass
class Shared(Program):
    """Processes that share a broker, a store file and a folder of objects."""

    queue_url: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {
            "KMEANS_QUEUE_URL": self.queue_url,
            "KMEANS_STORE_URL": f"sqlite://{self.folder}/shared/jobs.sqlite",
            "KMEANS_OBJECTS_URL": f"file://{self.folder}/shared/objects",
            "KMEANS_SHUTDOWN_GRACE_SECONDS": "20",
            **self.variables,
        }

    def serve(
        self, *arguments: str, health_address: str = "", until: str = '"service started"'
    ) -> subprocess.Popen[str]:
        """Start a service whose log goes to a file: a full pipe would stop it."""
        log = self.folder / f"{arguments[0]}-{len(self.started)}.log"
        with log.open("w") as stream:
            process = subprocess.Popen(
                [str(PROGRAM), *arguments],
                cwd=self.folder,
                env=self.environment | {"KMEANS_HEALTH_ADDRESS": health_address},
                stdout=stream,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self.started.append(process)
        await_that(lambda: until in log.read_text(), f"{arguments[0]} to start")
        return process

    def gateway(self) -> str:
        """Start a gateway on any free port; return its address."""
        self.serve("gateway", "--address", "127.0.0.1:0")
        (log,) = self.folder.glob("gateway-*.log")
        found = re.search(r"listens on ([\d.:]+)\.", log.read_text())
        assert found is not None
        return found[1]


@pytest.fixture
def shared(tmp_path: Path, rabbitmq_url: str) -> Iterator[Shared]:
    runner = Shared(tmp_path, queue_url=f"{rabbitmq_url}?prefix=t-{secrets.token_hex(8)}")
    yield runner
    for process in runner.started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def scores(result: dict[str, Any]) -> list[Any]:
    def key(score: dict[str, Any]) -> tuple[Any, ...]:
        return (score["experiment"], score["k"], score["covariance"])

    return sorted(result["scores"], key=key)


def end(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(PATIENCE_SECONDS)


def test_processes_give_the_scores_of_the_embedded_service(
    program: Program, shared: Shared, penguins: Path
) -> None:
    address = shared.gateway()
    others = [shared.serve("scheduler") for _ in range(2)]
    others += [shared.serve("worker", "--slots", "1") for _ in range(2)]
    together = shared.json("fit", penguins, "--target", address, *SMALL)
    alone = program.json("fit", penguins, *SMALL)
    assert scores(together) == scores(alone)
    assert [end(process) for process in shared.started] == [0] * (1 + len(others))


def test_a_task_of_2048_starts_is_spread_over_workers(
    program: Program, shared: Shared, soil_field: Path
) -> None:
    shared.variables |= {
        "KMEANS_PART_SECONDS": "0.1",
        "KMEANS_BUNDLE_SECONDS": "0.1",
        "KMEANS_LOG_LEVEL": "debug",
    }
    one = ("--max-k", "2", "--experiments", "1", "--n-init", "2048", "--covariances", "full-untied")
    address = shared.gateway()
    shared.serve("scheduler")
    workers = [shared.serve("worker", "--slots", "1") for _ in range(2)]
    together = shared.json("fit", soil_field, "--target", address, *one)
    assert scores(together) == scores(program.json("fit", soil_field, *one))
    assert [end(worker) for worker in workers] == [0, 0]
    bundles = [log.read_text().count('"bundle done"') for log in shared.folder.glob("worker-*.log")]
    # K = 1 is a task, K = 2 another: whoever ran none but whole tasks had two bundles for all.
    assert len(bundles) == 2
    assert min(bundles) >= 2


def test_a_worker_that_is_ended_in_the_middle_of_a_job_costs_nothing(
    shared: Shared, soil_field: Path
) -> None:
    address = shared.gateway()
    shared.serve("scheduler")
    first = shared.serve("worker", "--slots", "1")
    fit = shared.start("fit", soil_field, "--target", address, *LONG)
    assert fit.stderr is not None
    while not re.search(r"[1-9]\d* of \d+ tasks", fit.stderr.readline()):
        assert fit.poll() is None
    assert fit.poll() is None, "the job ended too soon to be disturbed"
    second = shared.serve("worker", "--slots", "1")
    assert end(first) == 0
    output, _ = fit.communicate(timeout=PATIENCE_SECONDS)
    assert fit.returncode == 0
    assert "Best: K = " in output
    assert end(second) == 0


def health(address: str, service: str) -> int | None:
    """What a probe is told; None while nobody answers."""
    with grpc.insecure_channel(address) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            return int(health_pb2_grpc.HealthStub(channel).Check(request, timeout=PATIENCE_SECONDS).status)
        except grpc.RpcError:
            return None


def readiness(address: str) -> list[str]:
    """What Prometheus is told of it."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=PATIENCE_SECONDS) as answer:
        lines = answer.read().decode().splitlines()
    return [line for line in lines if line.startswith("kmeans_ready")]


@pytest.mark.parametrize("service", ["gateway", "scheduler", "worker"])
def test_a_service_with_its_servers_is_ready(shared: Shared, service: str) -> None:
    ports = choose_ports(["health", "metrics"])
    address = f"127.0.0.1:{ports['health']}"
    shared.variables["KMEANS_METRICS_ADDRESS"] = f"127.0.0.1:{ports['metrics']}"
    own = ["--address", "127.0.0.1:0"] if service == "gateway" else []
    process = shared.serve(service, *own, health_address=address)
    await_that(lambda: health(address, "readiness") == SERVING, "it to be ready")
    assert health(address, "liveness") == SERVING
    assert readiness(shared.variables["KMEANS_METRICS_ADDRESS"]) == [
        f'kmeans_ready{{service="{service}"}} 1.0'
    ]
    assert end(process) == 0


def test_a_service_without_its_servers_is_alive_and_not_ready(shared: Shared) -> None:
    ports = choose_ports(["health", "metrics"])
    address = f"127.0.0.1:{ports['health']}"
    shared.variables["KMEANS_METRICS_ADDRESS"] = f"127.0.0.1:{ports['metrics']}"
    shared.queue_url = "amqp://someone:hunter2@127.0.0.1:1/"
    process = shared.serve("worker", health_address=address, until="waiting for a server")
    assert health(address, "liveness") == SERVING
    assert health(address, "readiness") == NOT_SERVING
    assert readiness(shared.variables["KMEANS_METRICS_ADDRESS"]) == ['kmeans_ready{service="worker"} 0.0']
    assert end(process) == 0


@pytest.mark.parametrize("service", ["gateway", "scheduler", "worker"])
@pytest.mark.parametrize("queue_url", [None, "memory://"])
def test_what_is_not_shared_is_refused(program: Program, service: str, queue_url: str | None) -> None:
    environment = program.environment | ({} if queue_url is None else {"KMEANS_QUEUE_URL": queue_url})
    done = subprocess.run(
        [str(PROGRAM), service],
        env=environment,
        cwd=program.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 2
    assert "KMEANS_QUEUE_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_never_comes_is_given_up(program: Program, tmp_path: Path) -> None:
    environment = program.environment | {
        "KMEANS_QUEUE_URL": "amqp://someone:hunter2@127.0.0.1:1/",
        "KMEANS_STORE_URL": f"sqlite://{tmp_path}/jobs.sqlite",
        "KMEANS_OBJECTS_URL": f"file://{tmp_path}/objects",
        "KMEANS_STARTUP_SECONDS": "0.5",
    }
    done = subprocess.run(
        [str(PROGRAM), "worker"],
        env=environment,
        cwd=program.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 3
    assert "Given up after 0.5 s" in done.stderr
    assert "hunter2" not in done.stderr
