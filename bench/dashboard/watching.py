"""Fifty sessions look at one running job: what a caller of the gateway notices, and what they cost."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time

import numpy as np
from kmeans.v1 import job_pb2

from bench.dashboard.service import Service
from bench.job import make_table
from kmeans_client import Client, has_ended

__all__ = ["SESSIONS", "latencies", "measure", "percentiles"]

SESSIONS = 50
_CALLS = 500
_PAUSE_SECONDS = 0.02


def measure(service: Service) -> dict[str, float]:
    """GetJob from one client while a job runs, first without any session and then with all of them."""
    with Client(service.target) as client:
        dataset = client.upload_dataset(io.BytesIO(make_table(20_000)), display_name="bench.csv")
        spec = job_pb2.JobSpec(dataset=dataset.name, max_k=30, n_experiments=20, n_init=50)
        job = client.create_job(spec).job.name
        latencies(client, job, _CALLS // 10)
        alone = latencies(client, job, _CALLS)
        resident = service.dashboard.resident_bytes()
        with subprocess.Popen(
            [
                sys.executable,
                "-m",
                "bench.dashboard.lookers",
                service.url,
                f"id={job.removeprefix('jobs/')}&view=Progress",
                str(SESSIONS),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as lookers:
            assert lookers.stdin is not None
            assert lookers.stdout is not None
            first = json.loads(lookers.stdout.readline())
            cpu, began = service.dashboard.cpu_seconds(), time.perf_counter()
            watched = latencies(client, job, _CALLS)
            cores = (service.dashboard.cpu_seconds() - cpu) / (time.perf_counter() - began)
            watches = service.watches()
            grown = service.dashboard.resident_bytes() - resident
            if has_ended(client.get_job(job)):
                raise RuntimeError("the job ended before it was measured; it needs more work")
            lookers.stdin.close()
            seen = json.loads(lookers.stdout.readline())
        client.cancel_job(job)
    return {
        "sessions": SESSIONS,
        "watch_streams_on_the_gateway": watches,
        **first,
        **seen,
        **percentiles(alone, "alone"),
        **percentiles(watched, "watched"),
        "dashboard_mib_per_session": grown / SESSIONS / 2**20,
        "dashboard_mib": (resident + grown) / 2**20,
        "dashboard_cores": cores,
        "gateway_mib": service.gateway.resident_bytes() / 2**20,
    }


def latencies(client: Client, job: str, calls: int) -> list[float]:
    """Seconds of so many GetJob, one after the other with a pause between."""
    found = []
    for _ in range(calls):
        began = time.perf_counter()
        client.get_job(job)
        found.append(time.perf_counter() - began)
        time.sleep(_PAUSE_SECONDS)
    return found


def percentiles(seconds: list[float], when: str) -> dict[str, float]:
    """The figures that a table shows of GetJob."""
    return {
        f"get_job_p{percent}_ms_{when}": float(np.percentile(seconds, percent)) * 1e3 for percent in (50, 99)
    }
