"""GetJob under 1, 16 and 64 concurrent clients: calls per second and how long one takes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
from kmeans.v1 import job_service_pb2, job_service_pb2_grpc

from bench.api.gateway_process import Process

__all__ = ["measure"]

_SECONDS = 5.0
_CLIENTS = (1, 16, 64)


def measure(gateway: Process, name: str) -> list[dict[str, float]]:
    """One row per number of clients; each client has a channel of its own and calls back to back."""
    rows = []
    for count in _CLIENTS:
        began_cpu = gateway.cpu_seconds()
        began = time.perf_counter()
        with ThreadPoolExecutor(count) as threads:
            clients = [threads.submit(_client, gateway.target, name, began + _SECONDS) for _ in range(count)]
            taken = [client.result() for client in clients]
        seconds = time.perf_counter() - began
        milliseconds = np.concatenate(taken) * 1e3
        rows.append(
            {
                "clients": count,
                "calls_per_second": len(milliseconds) / seconds,
                "p50_ms": float(np.percentile(milliseconds, 50)),
                "p99_ms": float(np.percentile(milliseconds, 99)),
                "gateway_cores": (gateway.cpu_seconds() - began_cpu) / seconds,
            }
        )
    return rows


def _client(target: str, name: str, until: float) -> list[float]:
    # Channels to one address share a connection unless told otherwise.
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    taken = []
    with grpc.insecure_channel(target, options=options) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)
        request = job_service_pb2.GetJobRequest(name=name)
        stub.GetJob(request, timeout=60)
        while (began := time.perf_counter()) < until:
            stub.GetJob(request, timeout=60)
            taken.append(time.perf_counter() - began)
    return taken
