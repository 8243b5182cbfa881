"""Jobs to measure with: uploaded, submitted and waited for as a client does it."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from kmeans.v1 import job_pb2
from pymongo.database import Database

from kmeans_client import Client

__all__ = ["ended_tasks", "submit", "tiny_table", "wait_for_all", "wait_for_job"]

_PAUSE_SECONDS = 0.25


def tiny_table(rows: int = 40, columns: int = 2) -> bytes:
    """A CSV on which a fit takes well under a millisecond."""
    text = io.StringIO()
    text.write(",".join(f"x{i}" for i in range(columns)) + "\n")
    np.savetxt(text, np.random.default_rng(1).normal(size=(rows, columns)), fmt="%.6f", delimiter=",")
    return text.getvalue().encode()


def submit(client: Client, table: bytes, spec: job_pb2.JobSpec, jobs: int = 1) -> list[str]:
    """Upload the table once and make so many jobs of it; their names."""
    dataset = client.upload_dataset(io.BytesIO(table), display_name="bench.csv").name
    names = []
    for number in range(jobs):
        own = job_pb2.JobSpec()
        own.CopyFrom(spec)
        own.dataset, own.seed = dataset, number
        names.append(client.create_job(own).job.name)
    return names


def wait_for_job(client: Client, name: str) -> job_pb2.Job:
    """Follow a job to its end; RuntimeError unless every task of it ended well."""
    job = job_pb2.Job()
    for step in client.watch_job(name, job_only=True):
        job = step.job
    if job.state != job_pb2.JOB_STATE_SUCCEEDED:
        raise RuntimeError(f"{name} ended as {job_pb2.JobState.Name(job.state)}: {job.failure}")
    return job


def wait_for_all(
    database: Database[dict[str, Any]], names: Sequence[str], timeout_seconds: float
) -> tuple[int, float]:
    """Until all of these jobs have ended or the time is up; tasks that ended, and seconds that took.

    Looked up in the store, by job id: asking the gateway would count every task each time.
    """
    began = time.monotonic()
    ids = [name.partition("/")[2] for name in names]
    while time.monotonic() - began < timeout_seconds:
        if not database["jobs"].count_documents({"_id": {"$in": ids}, "ended_at": None}):
            break
        time.sleep(_PAUSE_SECONDS)
    seconds = time.monotonic() - began
    return ended_tasks(database, ids), seconds


def ended_tasks(database: Database[dict[str, Any]], job_ids: Sequence[str]) -> int:
    """How many tasks of these jobs have ended."""
    blocks = database["blocks"].find(
        {"job_id": {"$in": list(job_ids)}, "of_parts": False}, {"tasks.state": True}
    )
    return sum(
        task["state"] in {"done", "degenerate", "error"} for block in blocks for task in block["tasks"]
    )
