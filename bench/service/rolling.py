"""Twenty rolling restarts of the workers during a job: what do they cost?"""

from __future__ import annotations

import itertools
import threading
import time

from kmeans.v1 import job_pb2

from bench.service.deployment import Deployment
from bench.service.jobs import submit, tiny_table, wait_for_job
from bench.service.table import Row
from kmeans_client import Client

__all__ = ["measure"]

_RESTARTS = 20
_WORKERS = 4
_BAR = 0.1


def measure(deployment: Deployment, starts: int) -> list[Row]:
    """The same job undisturbed and with one worker after the other ended and started anew."""
    table = tiny_table(rows=3000, columns=3)
    spec = job_pb2.JobSpec(n_init=starts)
    deployment.set_workers(_WORKERS, 1)
    with Client(deployment.address) as client:
        wait_for_job(client, submit(client, tiny_table(), job_pb2.JobSpec(max_k=2, n_init=1))[0])
        calm, _ = _run(client, table, spec)
        pause = calm / (_RESTARTS + 2)
        stop = threading.Event()
        roller = threading.Thread(target=_roll, args=(deployment, pause, stop))
        roller.start()
        try:
            rolled, job = _run(client, table, spec)
        finally:
            restarted_in_time = not roller.is_alive()
            stop.set()
            roller.join()
        claims = sum(task.attempt_count for task in client.list_tasks(job.name))
    total = job.task_counts.total
    lost = total - job.task_counts.done - job.task_counts.degenerate
    cost = rolled / calm - 1
    return [
        Row("undisturbed", f"{calm:.1f} s", note=f"{_WORKERS} workers of one slot"),
        Row(f"with {_RESTARTS} restarts", f"{rolled:.1f} s", note=f"one each {pause:.1f} s"),
        Row("restarts within the job", "all" if restarted_in_time else "not all", "all", restarted_in_time),
        Row("tasks lost", f"{lost} of {total}", "0", lost == 0, f"{claims} claims"),
        Row("time lost", f"{cost:.1%}", f"< {_BAR:.0%}", cost < _BAR),
    ]


def _run(client: Client, table: bytes, spec: job_pb2.JobSpec) -> tuple[float, job_pb2.Job]:
    name = submit(client, table, spec)[0]
    began = time.monotonic()
    job = wait_for_job(client, name)
    return time.monotonic() - began, job


def _roll(deployment: Deployment, pause_seconds: float, stop: threading.Event) -> None:
    began = time.monotonic()
    workers = itertools.cycle(deployment.workers)
    for number, process in enumerate(itertools.islice(workers, _RESTARTS), 1):
        if stop.wait(max(0.0, began + number * pause_seconds - time.monotonic())):
            return
        seen = process.logged("worker started")
        process.stop()
        process.start()
        deployment.wait_until_it_consumes(process, seen)
