"""500 watches of one job on one gateway: when each is told, and what they cost."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from kmeans.v1 import job_service_pb2, job_service_pb2_grpc

from bench.api.gateway_process import Process
from services.backends.open import open_store
from services.core.clock import utc_now
from services.core.planning import plan_tasks
from services.core.tasks import TaskKey, TaskOutcome, TaskState

__all__ = ["measure"]

_WATCHES = 500
_CHANNELS = 10
_EVENTS = 20


def measure(gateway: Process, folder: Path, name: str) -> dict[str, float]:
    """Open the watches, change the job as workers would, and see when each change reaches each of them."""
    store = open_store(f"sqlite://{folder}/jobs.sqlite")
    job_id = name.removeprefix("jobs/")
    arrivals = _Arrivals()
    before, threads_before = gateway.resident_bytes(), gateway.threads()
    options = [
        ("grpc.enable_http_proxy", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    channels = [grpc.insecure_channel(gateway.target, options=options) for _ in range(_CHANNELS)]
    began = time.perf_counter()
    watches: list[Any] = []
    for index in range(_WATCHES):
        stub = job_service_pb2_grpc.JobServiceStub(channels[index % _CHANNELS])
        watch = stub.WatchJob(job_service_pb2.WatchJobRequest(name=name), timeout=200)
        watches.append(watch)
        threading.Thread(target=arrivals.take, args=(watch,), daemon=True).start()
    arrivals.wait_for(store.get_job(job_id).revision, _WATCHES)
    opened_seconds = time.perf_counter() - began
    opened = gateway.resident_bytes()
    keys = list(plan_tasks(store.get_job(job_id)))
    store.start_job(job_id, keys, utc_now())
    arrivals.wait_for(store.get_job(job_id).revision, _WATCHES)
    cpu = gateway.cpu_seconds()
    lags, resident = [], []
    for event in range(_EVENTS):
        made = time.perf_counter()
        store.claim_tasks([keys[event]], f"a{event}", utc_now(), utc_now())
        store.finish_tasks(f"a{event}", [_failed(keys[event])], utc_now())
        lags += [at - made for at in arrivals.wait_for(store.get_job(job_id).revision, _WATCHES)]
        resident.append(gateway.resident_bytes())
        time.sleep(0.5)
    busy = gateway.cpu_seconds() - cpu
    cpu, began = gateway.cpu_seconds(), time.perf_counter()
    time.sleep(5)
    idle = (gateway.cpu_seconds() - cpu) / (time.perf_counter() - began)
    threads = gateway.threads()
    store.cancel_job(job_id, utc_now())
    arrivals.wait_for(store.get_job(job_id).revision, _WATCHES)
    for channel in channels:
        channel.close()
    store.close()
    return {
        "watches": _WATCHES,
        "events": _EVENTS,
        "open_seconds": opened_seconds,
        "p50_lag_ms": float(np.percentile(lags, 50)) * 1e3,
        "p99_lag_ms": float(np.percentile(lags, 99)) * 1e3,
        "longest_lag_ms": max(lags) * 1e3,
        "gateway_cpu_ms_per_event": busy / _EVENTS * 1e3,
        "gateway_cores_while_nothing_happens": idle,
        "threads": threads - threads_before,
        "opened_mib": (opened - before) / 2**20,
        "first_event_mib": (resident[0] - before) / 2**20,
        "last_event_mib": (resident[-1] - before) / 2**20,
    }


class _Arrivals:
    """When each watch was told each revision or a later one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._latest: dict[int, tuple[int, float]] = {}

    def take(self, watch: Any) -> None:
        try:
            for step in watch:
                at = time.perf_counter()
                if not step.more:
                    with self._changed:
                        self._latest[id(watch)] = (step.job.revision, at)
                        self._changed.notify_all()
        except grpc.RpcError:
            with self._changed:
                self._changed.notify_all()

    def wait_for(self, revision: int, count: int) -> list[float]:
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: sum(latest[0] >= revision for latest in self._latest.values()) == count, 60
            )
            if not arrived:
                raise TimeoutError(f"not every one of {count} watches was told revision {revision}")
            return [at for _, at in self._latest.values()]


def _failed(key: TaskKey) -> TaskOutcome:
    return TaskOutcome(key, TaskState.ERROR, 0.01, error="This is a bench.")
