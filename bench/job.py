"""How long a default job takes through the whole embedded service, and how much of that is not fitting.

    python -m bench.job [ROWS]

A job with every default (10 experiments x K 1..10 x 6 covariances x 10 starts: 600 tasks, 6,000 fits) on a
generated table of 3,232 rows and 3 columns, uploaded, created, planned, queued, fitted, stored and reported
through gRPC on loopback, on a fresh home folder.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from kmeans.v1 import job_pb2

from kmeans_client import Client
from services.cli.logs import configure_logs
from services.core.settings import read_settings
from services.embedded.service import EmbeddedService

__all__ = ["main", "measure"]

ROWS = 3232
_RESULTS = Path(__file__).parent / "results" / "job.json"


def make_table(rows: int, seed: int = 7) -> bytes:
    """A CSV of three correlated, skewed columns in four unequal zones."""
    rng = np.random.default_rng(seed)
    zones = rng.choice(4, rows, p=[0.5, 0.25, 0.15, 0.1])
    latent = rng.normal(size=(rows, 3)) @ np.array([[1.0, 0.6, 0.2], [0.0, 0.8, -0.3], [0.0, 0.0, 0.9]])
    values = np.exp(0.35 * latent + 0.8 * zones[:, None]) * np.array([12.0, 18.0, 1.0]) + [0.0, 0.0, 80.0]
    text = io.StringIO()
    text.write("EC1,EC2,Elevation\n")
    np.savetxt(text, values, fmt="%.2f", delimiter=",")
    return text.getvalue().encode()


def measure(rows: int = ROWS) -> dict[str, float]:
    """Seconds by stage; `fitting` is compute time divided by the worker slots."""
    slots = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="kmeans-bench-") as folder:
        settings = read_settings(home=Path(folder) / "home", worker_slots=slots)
        began = time.perf_counter()
        with EmbeddedService(settings) as service, Client(service.start("127.0.0.1:0")) as client:
            client.wait_until_ready(10.0)
            started = time.perf_counter()
            dataset = client.upload_dataset(io.BytesIO(make_table(rows)), display_name="bench.csv")
            uploaded = time.perf_counter()
            job = client.create_job(job_pb2.JobSpec(dataset=dataset.name)).job
            for step in client.watch_job(job.name, job_only=True):
                job = step.job
            ended = time.perf_counter()
            client.get_report(job.name)
            reported = time.perf_counter()
            fitting = sum(task.compute_seconds for task in client.list_tasks(job.name)) / slots
        stopped = time.perf_counter()
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED, job
    whole = ended - uploaded
    return {
        "rows": rows,
        "tasks": job.task_counts.total,
        "slots": slots,
        "start_seconds": started - began,
        "upload_seconds": uploaded - started,
        "job_seconds": whole,
        "fitting_seconds": fitting,
        "other_share": max(0.0, 1.0 - fitting / whole),
        "report_seconds": reported - ended,
        "stop_seconds": stopped - reported,
    }


def main(rows: int = ROWS) -> None:
    """Print the stages and write them to bench/results/job.json."""
    configure_logs("error", "text")
    best = min((measure(rows) for _ in range(3)), key=lambda found: found["job_seconds"])
    for name, value in best.items():
        print(f"{name:<16} {value:10.3f}" if isinstance(value, float) else f"{name:<16} {value:6}")
    _RESULTS.parent.mkdir(exist_ok=True)
    _RESULTS.write_text(json.dumps(best, indent=2) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
