"""500 MB uploaded: the stream beside bare gRPC, the parse after it, and the memory of both."""

from __future__ import annotations

import time
from collections.abc import Iterator

import grpc
import numpy as np
from kmeans.v1 import dataset_service_pb2, dataset_service_pb2_grpc

from bench.api.gateway_process import Process

__all__ = ["measure"]

_CHUNK_BYTES = 1 << 20
_CHUNKS = 500
_ROUNDS = 2


def measure(gateway: Process, bare: Process) -> dict[str, float]:
    """Rounds alternate between the two servers; rates are the best of each.

    The stream ends, for the gateway as for the bare server, when the last chunk was taken from the client:
    what is still in the connection then is at most a few MiB of the 500.
    """
    block = _block()
    streams, whole, raw = [], [], []
    gateway.forget_peak()
    before = gateway.resident_bytes()
    for _ in range(_ROUNDS):
        raw.append(_upload(bare, block)[1])
        sent, answered = _upload(gateway, block)
        streams.append(sent)
        whole.append(answered)
    peak = gateway.peak_bytes()
    size_mb = len(block) * _CHUNKS / 1e6
    return {
        "size_mb": size_mb,
        "bare_mb_per_second": size_mb / min(raw),
        "stream_mb_per_second": size_mb / min(streams),
        "share_of_bare": min(raw) / min(streams),
        "stream_seconds": min(streams),
        "parse_seconds": min(w - s for w, s in zip(whole, streams, strict=True)),
        "whole_seconds": min(whole),
        "peak_mib_above_idle": (peak - before) / 2**20,
    }


def _block() -> bytes:
    """1 MiB of whole rows of numbers."""
    rows = np.random.default_rng(5).normal(50, 10, (40_000, 4))
    text = "".join(f"{a:.3f},{b:.3f},{c:.3f},{d:.3f}\n" for a, b, c, d in rows).encode()
    return text[: text.rindex(b"\n", 0, _CHUNK_BYTES) + 1]


def _upload(server: Process, block: bytes) -> tuple[float, float]:
    """Seconds until the last chunk was taken, and until the answer came."""
    taken: list[float] = []

    def requests() -> Iterator[dataset_service_pb2.UploadDatasetRequest]:
        yield dataset_service_pb2.UploadDatasetRequest(header={"display_name": "bench.csv"})
        yield dataset_service_pb2.UploadDatasetRequest(chunk=b"a,b,c,d\n")
        request = dataset_service_pb2.UploadDatasetRequest(chunk=block)
        for _ in range(_CHUNKS):
            yield request
        taken.append(time.perf_counter())

    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(server.target, options=options) as channel:
        stub = dataset_service_pb2_grpc.DatasetServiceStub(channel)
        began = time.perf_counter()
        stub.UploadDataset(requests(), timeout=200)
        return taken[0] - began, time.perf_counter() - began
