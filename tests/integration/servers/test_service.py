"""`python -m tests.servers up`: the service in processes, a job through it, and the end of all of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.ports import HOST, choose_ports

ROOT = Path(__file__).parents[3]
PROGRAM = Path(sys.executable).parent / "kmeans-service"
JOB = ["examples/soil_field.csv", "--max-k", "2", "--experiments", "1", "--n-init", "1", "--seed", "3"]


@contextmanager
def up(address: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.servers", "up", "--no-ui", "--address", address],
        cwd=ROOT,
        # The servers of the checkout, which the fixtures have started.
        env={name: value for name, value in os.environ.items() if not name.startswith("KMEANS_TEST_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()


def fit(*options: str, home: Path) -> dict[str, object]:
    done = subprocess.run(
        [PROGRAM, "fit", *JOB, "--json", *options],
        cwd=ROOT,
        env={**os.environ, "KMEANS_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    # The id of the job differs, and so does the time.
    job = json.loads(done.stdout)["job"]
    found: dict[str, object] = json.loads(done.stdout.replace(job, "jobs/any"))
    return {key: value for key, value in found.items() if key != "seconds"}


def pids(line: str) -> dict[str, int]:
    return {name: int(pid) for name, pid in re.findall(r"([a-z0-9-]+) \((\d+)\)", line)}


@pytest.mark.timeout(240)
def test_the_service_in_processes_gives_the_bits_of_the_embedded_one(
    rabbitmq_url: str, mongodb_url: str, s3_url: str, tmp_path: Path
) -> None:
    address = f"{HOST}:{choose_ports(['gateway'])['gateway']}"
    with up(address) as service:
        assert service.stdout is not None
        line = service.stdout.readline()
        assert line.startswith(f"The service listens on {address}"), line + service.stdout.read()
        parts = pids(line)
        assert parts.keys() == {"gateway", "scheduler", "worker-1", "worker-2"}
        assert fit("--target", address, home=tmp_path) == fit(home=tmp_path / "home")
        # One that dies takes the rest along, with a sentence.
        os.kill(parts["worker-1"], signal.SIGKILL)
        assert "worker-1 ended by itself" in service.stdout.read()
        assert service.wait() == 1
    for pid in parts.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
