"""A default job on the survey in examples/, from its upload to its report: on servers and embedded."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from kmeans.v1 import job_pb2

from bench.service.deployment import Deployment
from bench.service.jobs import submit, wait_for_job
from bench.service.table import Row
from kmeans_client import Client
from services.core.settings import read_settings
from services.embedded.service import EmbeddedService

__all__ = ["measure"]

_TABLE = Path(__file__).parents[2] / "examples" / "soil_field.csv"
_ROUNDS = 3
_BAR = 3.0


def measure(deployment: Deployment) -> list[Row]:
    """Alternate between the two, so that both meet the same machine; the least of each counts."""
    slots = os.cpu_count() or 1
    table = _TABLE.read_bytes()
    deployment.set_workers(1, slots)
    embedded, servers = [], []
    with tempfile.TemporaryDirectory(prefix="kmeans-bench-") as home:
        settings = read_settings(home=Path(home), worker_slots=slots)
        with EmbeddedService(settings) as service, Client(service.start("127.0.0.1:0")) as near:
            near.wait_until_ready(30.0)
            with Client(deployment.address) as far:
                for _ in range(_ROUNDS):
                    embedded.append(_seconds(near, table))
                    servers.append(_seconds(far, table))
    ratio = min(servers) / min(embedded)
    rounds = ", ".join(f"{there:.1f}/{here:.1f}" for there, here in zip(servers, embedded, strict=True))
    return [
        Row("default job, embedded", f"{min(embedded):.2f} s"),
        Row("default job, on servers", f"{min(servers):.2f} s", note=f"rounds {rounds} s"),
        Row("servers / embedded", f"{ratio:.2f}", f"<= {_BAR:g}", ratio <= _BAR),
    ]


def _seconds(client: Client, table: bytes) -> float:
    began = time.perf_counter()
    name = submit(client, table, job_pb2.JobSpec())[0]
    wait_for_job(client, name)
    client.get_report(name)
    return time.perf_counter() - began
