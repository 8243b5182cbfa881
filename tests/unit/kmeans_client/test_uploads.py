"""A file as a stream of messages."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kmeans.v1 import dataset_service_pb2

from kmeans_client.uploads import CHUNK_BYTES, UploadStream, remaining_bytes

HEADER = dataset_service_pb2.UploadDatasetHeader(display_name="t", size_bytes=7)


@given(st.integers(0, 3 * CHUNK_BYTES))
def test_the_header_then_all_bytes_in_chunks(size_bytes: int) -> None:
    content = os.urandom(1) * size_bytes
    told: list[tuple[int, int | None]] = []
    stream = UploadStream(HEADER, io.BytesIO(content), lambda *sent: told.append(sent))
    header, *chunks = stream
    assert header.header == HEADER
    assert b"".join(message.chunk for message in chunks) == content
    assert all(0 < len(message.chunk) <= CHUNK_BYTES for message in chunks)
    assert [total for _, total in told] == [7] * len(chunks)
    assert not told or told[-1][0] == size_bytes


def test_what_reading_raises_is_remembered() -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise OSError("the disk is gone")

    stream = UploadStream(HEADER, Broken(), None)  # type: ignore[arg-type]
    messages = iter(stream)
    next(messages)
    with pytest.raises(OSError, match="the disk is gone"):
        next(messages)
    assert isinstance(stream.failure, OSError)


def test_size_from_where_the_file_stands(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    with path.open("rb") as opened:
        opened.seek(2)
        assert remaining_bytes(opened) == 3
        assert opened.read() == b"345"


def test_size_of_a_pipe_is_unknown() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb"), os.fdopen(reading, "rb") as pipe:
        assert remaining_bytes(pipe) == 0
