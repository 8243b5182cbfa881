"""Uploads: a file as a stream of messages."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from typing import BinaryIO

from kmeans.v1 import dataset_service_pb2

__all__ = ["CHUNK_BYTES", "Progress", "UploadStream", "remaining_bytes"]

CHUNK_BYTES = 1 << 20

Progress = Callable[[int, int | None], None]
"""Called with the bytes handed to the network so far and their total, None when that is unknown."""


class UploadStream:
    """The messages of one upload; remembers what reading the file raised.

    gRPC reads it on a thread of its own and would tell the caller only that the stream broke.
    """

    def __init__(
        self,
        header: dataset_service_pb2.UploadDatasetHeader,
        source: BinaryIO,
        progress: Progress | None,
    ) -> None:
        """Send this header, then everything that is left in `source`."""
        self.failure: Exception | None = None
        self._header = header
        self._source = source
        self._progress = progress

    def __iter__(self) -> Iterator[dataset_service_pb2.UploadDatasetRequest]:
        """The header, then chunks of CHUNK_BYTES."""
        yield dataset_service_pb2.UploadDatasetRequest(header=self._header)
        sent_bytes, total_bytes = 0, self._header.size_bytes or None
        try:
            while chunk := self._source.read(CHUNK_BYTES):
                yield dataset_service_pb2.UploadDatasetRequest(chunk=chunk)
                sent_bytes += len(chunk)
                if self._progress is not None:
                    self._progress(sent_bytes, total_bytes)
        except Exception as error:
            self.failure = error
            raise


def remaining_bytes(source: BinaryIO) -> int:
    """Bytes from the current position to the end; 0 when the source cannot tell."""
    try:
        if not source.seekable():
            return 0
        position = source.tell()
        size_bytes = source.seek(0, os.SEEK_END) - position
        source.seek(position)
    except (OSError, io.UnsupportedOperation):
        return 0
    return size_bytes
