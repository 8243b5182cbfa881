"""A hundred thousand queued tasks: does a task cost more, or a process grow, the longer it goes on?"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pymongo
from kmeans.v1 import job_pb2
from pymongo.database import Database

from bench.service.deployment import Deployment
from bench.service.jobs import submit, tiny_table
from bench.service.table import Row
from bench.service.usage import MemoryLog
from kmeans_client import Client

__all__ = ["measure"]

# 6 covariances x 10 K x 84 experiments: 5,040 tasks.
_SPEC = job_pb2.JobSpec(max_k=10, n_experiments=84, n_init=1)
_TASKS_OF_JOB = 6 * 10 * 84
_QUEUE_SECONDS = 240.0
_PAUSE_SECONDS = 0.5
_BAR = 1.25  # beyond what a machine with other work wavers by


def measure(deployment: Deployment, tasks: int, seconds: float) -> list[Row]:
    """Queue them all, work on them for so many seconds, and compare first tenths with last ones."""
    n_jobs = -(-tasks // _TASKS_OF_JOB)
    deployment.set_workers(0, 1)
    queueing, working = MemoryLog(deployment.pids), MemoryLog(deployment.pids)
    with (
        pymongo.MongoClient[dict[str, Any]](deployment.store_url, tz_aware=True) as store,
        Client(deployment.address, timeout_seconds=60.0) as client,
    ):
        database = store[deployment.database]
        with queueing.sampling():
            names = submit(client, tiny_table(), _SPEC, n_jobs)
            started = _wait_until_queued(database, [name.partition("/")[2] for name in names])
        queued = len(started) * _TASKS_OF_JOB
        deployment.set_workers(2, 1)
        with working.sampling():
            time.sleep(seconds)
        ended = _ended_at(database, names)
        for name in names:
            client.cancel_job(name)
    spans = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(started)]
    return [
        Row("tasks queued", f"{queued:,}", f">= {tasks:,}", queued >= tasks),
        _growth("queueing one task", [span / _TASKS_OF_JOB for span in spans]),
        Row("tasks done meanwhile", f"{len(ended):,}", note=f"in {seconds:g} s"),
        _growth(
            "working on one task",
            [
                (later - earlier).total_seconds()
                for earlier, later in itertools.pairwise(ended[: _busy(queued)])
            ],
        ),
        *_memory("queueing", queueing),
        *_memory("working", working),
    ]


def _wait_until_queued(database: Database[dict[str, Any]], job_ids: Sequence[str]) -> list[datetime]:
    """When each job's tasks were all in the store, in order; fewer when the time is up."""
    deadline = time.monotonic() + _QUEUE_SECONDS
    while True:
        jobs = database["jobs"].find({"_id": {"$in": list(job_ids)}}, {"started_at": True})
        started = sorted(job["started_at"] for job in jobs if job["started_at"] is not None)
        if len(started) == len(job_ids) or time.monotonic() > deadline:
            return started
        time.sleep(_PAUSE_SECONDS)


def _ended_at(database: Database[dict[str, Any]], names: Sequence[str]) -> list[datetime]:
    ids = [name.partition("/")[2] for name in names]
    blocks = database["blocks"].find({"job_id": {"$in": ids}, "of_parts": False}, {"tasks.ended_at": True})
    ended = (task["ended_at"] for block in blocks for task in block["tasks"])
    return sorted(at for at in ended if at is not None)


def _busy(queued: int) -> int:
    """How many tasks end while every worker has enough to do: at the very end they wait for the last jobs."""
    return queued * 9 // 10


def _growth(what: str, seconds: Sequence[float]) -> Row:
    """The last tenth beside the first; tasks end by the bundle, so tenths are of the tasks."""
    n = max(1, len(seconds) // 10)
    if len(seconds) < 2 * n:
        return Row(f"{what}, last / first tenth", "none ended", f"<= {_BAR:g}", False)
    first, last = sum(seconds[:n]) / n, sum(seconds[-n:]) / n
    return Row(
        f"{what}, last / first tenth",
        f"{last / first:.2f}",
        f"<= {_BAR:g}",
        last <= _BAR * first,
        f"{first * 1e3:.2f} ms, then {last * 1e3:.2f} ms",
    )


def _memory(when: str, log: MemoryLog) -> list[Row]:
    return [
        Row(f"memory of {name}, {when}", f"{last / 1e6:.0f} MB", note=f"first tenth {first / 1e6:.0f} MB")
        for name, (first, last) in log.tenths().items()
    ]
