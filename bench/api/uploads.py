"""500 MB uploaded: the stream beside bare gRPC, the parse after it, and the memory of both."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import grpc
import numpy as np
from kmeans.v1 import dataset_service_pb2, dataset_service_pb2_grpc

from bench.api.gateway_process import Process

__all__ = ["measure"]

_CHUNK_BYTES = 1 << 20
_CHUNKS = 500
_ROUNDS = 6


def measure(gateway: Process, bare: Process) -> dict[str, float]:
    """Rounds of streaming alternate between the two servers, then one table is uploaded whole.

    A stream ends, for both servers, when the last chunk was taken from the client: what is still in the
    connection then is at most a few MiB of the 500. What streams is stored like any upload, but is no table,
    so that the gateway refuses it at once and no parse lies between two rounds.
    """
    gateway.forget_peak()
    before = gateway.resident_bytes()
    noise = b"x" * _CHUNK_BYTES
    raw, streams = [], []
    for _ in range(_ROUNDS):
        raw.append(_upload(bare, noise)[0])
        streams.append(_upload(gateway, noise, is_table=False)[0])
    block = _block()
    sent, answered = _upload(gateway, block)
    size_mb = len(noise) * _CHUNKS / 1e6
    return {
        "size_mb": size_mb,
        "bare_mb_per_second": size_mb / min(raw),
        "stream_mb_per_second": size_mb / min(streams),
        "share_of_bare": min(raw) / min(streams),
        "share_of_bare_in_the_median": statistics.median(raw) / statistics.median(streams),
        "table_stream_seconds": sent,
        "table_parse_seconds": answered - sent,
        "peak_mib_above_idle": (gateway.peak_bytes() - before) / 2**20,
    }


def _block() -> bytes:
    """1 MiB of whole rows of numbers."""
    rows = np.random.default_rng(5).normal(50, 10, (40_000, 4))
    text = "".join(f"{a:.3f},{b:.3f},{c:.3f},{d:.3f}\n" for a, b, c, d in rows).encode()
    return text[: text.rindex(b"\n", 0, _CHUNK_BYTES) + 1]


def _upload(server: Process, block: bytes, *, is_table: bool = True) -> tuple[float, float]:
    """Seconds until the last chunk was taken, and until the answer came."""
    taken: list[float] = []

    def requests() -> Iterator[dataset_service_pb2.UploadDatasetRequest]:
        yield dataset_service_pb2.UploadDatasetRequest(header={"display_name": "bench.csv"})
        yield dataset_service_pb2.UploadDatasetRequest(chunk=b"a,b,c,d\n")
        request = dataset_service_pb2.UploadDatasetRequest(chunk=block)
        for _ in range(_CHUNKS):
            yield request
        taken.append(time.perf_counter())

    with grpc.insecure_channel(server.target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = dataset_service_pb2_grpc.DatasetServiceStub(channel)
        began = time.perf_counter()
        try:
            stub.UploadDataset(requests(), timeout=200)
        except grpc.RpcError as error:
            if is_table or error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                raise
        return taken[0] - began, time.perf_counter() - began
