"""One gateway for all that is thrown at it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kmeans.v1 import job_pb2

from bench.api.gateway_process import process
from kmeans_client import Client
from services.core.settings import read_settings
from services.embedded.service import EmbeddedService
from tests.fuzz.world import World

TABLE = b"longitude,a,b,farm,flat\n" + b"".join(
    b"%d,%d.5,%d,North,1\n" % (row, row % 3 * 50 + row % 7, row % 3 * 50 + row % 5) for row in range(120)
)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with _world(tmp_path_factory.mktemp("fuzz")) as world:
        yield world


@pytest.fixture
def fresh_world(tmp_path: Path) -> Iterator[World]:
    """A gateway to which no file has done anything yet."""
    with _world(tmp_path) as world:
        yield world


@contextmanager
def _world(folder: Path) -> Iterator[World]:
    ids = _live(folder)
    temporary = folder / "tmp"
    temporary.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KMEANS_")}
    environment["TMPDIR"] = str(temporary)
    with process("bench.api.serve_gateway", str(folder), environment=environment) as gateway:
        world = World(gateway, folder, ids)
        yield world
        world.close()


def _live(folder: Path) -> dict[str, str]:
    """Have the whole service upload two tables and run a job; ids by placeholder."""
    with (
        EmbeddedService(read_settings(home=folder, worker_slots=1)) as service,
        Client(service.start("127.0.0.1:0")) as client,
    ):
        client.wait_until_ready(30)
        numbers = client.upload_dataset(io.BytesIO(TABLE), display_name="numbers.csv").name
        texts = client.upload_dataset(io.BytesIO(b"a,farm\nx,y\nz,w\n"), display_name="texts.csv").name
        spec = job_pb2.JobSpec(dataset=numbers, columns=["a", "b"], max_k=2, n_experiments=2, n_init=1)
        job = client.create_job(spec).job.name
        ended = list(client.watch_job(job, job_only=True))[-1].job
        assert ended.state == job_pb2.JOB_STATE_SUCCEEDED
    return {
        "@numbers": numbers.removeprefix("datasets/"),
        "@texts": texts.removeprefix("datasets/"),
        "@ended": job.removeprefix("jobs/"),
    }
