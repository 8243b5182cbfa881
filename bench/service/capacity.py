"""Overhead: tasks per second when fitting costs next to nothing, and where the processor's time goes."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import pymongo
from kmeans.v1 import job_pb2

from bench.service.bare import measure_bare
from bench.service.deployment import Deployment
from bench.service.jobs import submit, tiny_table, wait_for_all, wait_for_job
from bench.service.single import single_tasks_per_second
from bench.service.table import Row
from bench.service.usage import cpu_seconds, difference
from kmeans_client import Client
from services.core.settings import read_settings
from services.embedded.service import EmbeddedService

__all__ = ["measure"]

_BAR = 1000.0
_JOBS = 2
_LIMIT_SECONDS = 60.0
# 6 covariances x 3 K x 100 experiments: 1,800 tasks of one start on 40 rows.
_TRIVIAL = job_pb2.JobSpec(max_k=3, n_experiments=100, n_init=1)
_WARM_UP = job_pb2.JobSpec(max_k=2, n_experiments=2, n_init=1)


def measure(deployment: Deployment) -> list[Row]:
    """The service on servers with 1, 2 and 4 workers, embedded, and what the bare store server can do."""
    rows = [_embedded()]
    cores = os.cpu_count() or 1
    best = 0.0
    with (
        pymongo.MongoClient[dict[str, Any]](deployment.store_url) as store,
        Client(deployment.address) as client,
    ):
        database = store[deployment.database]
        for workers in (1, 2, 4):
            deployment.set_workers(workers, max(1, cores // workers))
            wait_for_job(client, submit(client, tiny_table(), _WARM_UP)[0])
            before = cpu_seconds(deployment.pids())
            began = time.monotonic()
            names = submit(client, tiny_table(), _TRIVIAL, _JOBS)
            tasks, _ = wait_for_all(database, names, _LIMIT_SECONDS)
            rate = tasks / (time.monotonic() - began)
            used = difference(before, cpu_seconds(deployment.pids()))
            best = max(best, rate)
            shares = ", ".join(f"{kind} {seconds / tasks * 1e3:.2f}" for kind, seconds in used.items())
            rows.append(
                Row(
                    f"tasks/s, {workers} worker{'s' * (workers > 1)}",
                    f"{rate:.0f}",
                    note=f"CPU ms/task: {shares}",
                )
            )
        rows.append(Row("tasks/s, best of these", f"{best:.0f}", f">= {_BAR:g}", best >= _BAR))
        bare = measure_bare(store)
    rows += [Row(f"a record for each task, bare: {what}", f"{rate:.0f}") for what, rate in bare.rates.items()]
    rows.append(
        Row(
            "the store alone, one task at a time, tasks/s",
            f"{single_tasks_per_second(deployment.store_url):.0f}",
        )
    )
    rows.append(
        Row("service / bare records", f"{best / bare.tasks_per_second:.2f}", note="of the last line above")
    )
    return rows


def _embedded() -> Row:
    with tempfile.TemporaryDirectory(prefix="kmeans-bench-") as home:
        settings = read_settings(home=Path(home))
        with EmbeddedService(settings) as service, Client(service.start("127.0.0.1:0")) as client:
            client.wait_until_ready(30.0)
            began = time.monotonic()
            names = submit(client, tiny_table(), _TRIVIAL, _JOBS)
            tasks = sum(wait_for_job(client, name).task_counts.total for name in names)
            return Row("tasks/s, embedded (SQLite)", f"{tasks / (time.monotonic() - began):.0f}")
