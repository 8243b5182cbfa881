"""An upload goes on by itself and tells how far it is."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

import grpc
import pytest
from kmeans.v1 import dataset_pb2

from kmeans_client import KMeansError
from ui.uploads import Upload


class Slow:
    """A client that sends half of a file, waits for leave, and then ends as it was told to."""

    def __init__(self, end: dataset_pb2.Dataset | Exception) -> None:
        self.end = end
        self.leave = threading.Event()
        self.half = threading.Event()
        self.asked: dict[str, Any] = {}

    def upload_dataset(
        self, source: BinaryIO, *, progress: Callable[[int, int | None], None], **asked: Any
    ) -> dataset_pb2.Dataset:
        self.asked = asked
        progress(50, 100)
        self.half.set()
        assert self.leave.wait(30)
        progress(100, 100)
        if isinstance(self.end, Exception):
            raise self.end
        return self.end


def test_its_bytes_are_counted_and_its_dataset_comes_at_the_end() -> None:
    client, upload = Slow(dataset_pb2.Dataset(name="datasets/a")), Upload("1", "a.csv", 100)
    assert (upload.share, upload.is_sent) == (0, False)
    upload.start(client, io.BytesIO(b"a" * 100), "id")  # type: ignore[arg-type]
    assert client.half.wait(30)
    assert (upload.share, upload.is_sent, upload.future.done()) == (0.5, False, False)
    client.leave.set()
    assert upload.future.result(30).name == "datasets/a"
    assert (upload.share, upload.is_sent) == (1, True)
    assert client.asked == {"display_name": "a.csv", "request_id": "id"}


def test_what_went_wrong_is_told_to_whoever_waits() -> None:
    refused = KMeansError(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_TABLE", "Row 2 has 3 fields.")
    for error in (refused, OSError("the disk is full"), ValueError("a mistake of ours")):
        client, upload = Slow(error), Upload("1", "a.csv", 100)
        client.leave.set()
        upload.start(client, io.BytesIO(b""), "id")  # type: ignore[arg-type]
        with pytest.raises(type(error), match=str(error)):
            upload.future.result(30)


def test_an_empty_file_is_sent_at_once() -> None:
    assert Upload("1", "empty.csv", 0).share == 1
    assert Upload("1", "empty.csv", 0).is_sent
