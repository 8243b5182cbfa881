"""`python -m bench.api.serve_bare FOLDER`: raw gRPC streaming, whose servicer writes the bytes to a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from kmeans.v1 import dataset_pb2, dataset_service_pb2, dataset_service_pb2_grpc


class Bare(dataset_service_pb2_grpc.DatasetServiceServicer):
    """Takes an upload and makes nothing of it."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "bare"

    def UploadDataset(  # noqa: N802 - the proto's name
        self,
        request_iterator: Iterator[dataset_service_pb2.UploadDatasetRequest],
        context: grpc.ServicerContext,
    ) -> dataset_pb2.Dataset:
        size_bytes = 0
        next(request_iterator)
        with self._file.open("wb", buffering=0) as file:
            for request in request_iterator:
                size_bytes += file.write(request.chunk)
        self._file.unlink()
        return dataset_pb2.Dataset(size_bytes=size_bytes)


def main(folder: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(
            threads,
            options=[("grpc.max_receive_message_length", 4 << 20), ("grpc.so_reuseport", 0)],
        )
        dataset_service_pb2_grpc.add_DatasetServiceServicer_to_server(Bare(Path(folder)), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        print(port, flush=True)
        sys.stdin.read()
        server.stop(0).wait()


main(sys.argv[1])
