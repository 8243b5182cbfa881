"""Messages of an upload: read without a copy, and never other than protobuf reads them."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st
from kmeans.v1.dataset_service_pb2 import UploadDatasetRequest

from services.gateway.upload_requests import ChunkRequest, chunk_of, read_upload_request

CHUNK = UploadDatasetRequest(chunk=b"1,2\n").SerializeToString()
HEADER = UploadDatasetRequest(header={"display_name": "a.csv"}).SerializeToString()

messages = st.one_of(
    st.binary(max_size=300).map(lambda chunk: UploadDatasetRequest(chunk=chunk).SerializeToString()),
    st.text(max_size=20).map(
        lambda name: UploadDatasetRequest(header={"display_name": name}).SerializeToString()
    ),
    st.binary(max_size=8),
    # A chunk by its field, then whatever length.
    st.binary(max_size=12).map(lambda rest: b"\x12" + rest),
)


@given(st.lists(messages, max_size=3).map(b"".join))
@example(b"")
@example(b"\x12")
@example(b"\x12\x00")
@example(b"\x12\x80")
@example(b"\x12\x83\x80\x00abc")
@example(b"\x12\x83\x80\x80\x80\x00abc")
@example(b"\x12\x83\x80\x80\x80\x80\x00abc")
@example(b"\x12\xff\xff\xff\xff\xff")
@example(CHUNK + HEADER)
@example(HEADER + CHUNK)
@example(CHUNK + CHUNK)
@example(CHUNK[:-1])
@example(CHUNK + b"\x18\x01")
def test_every_message_is_what_protobuf_makes_of_it(content: bytes) -> None:
    try:
        expected = UploadDatasetRequest.FromString(content)
    except DecodeError:
        with pytest.raises(DecodeError):
            read_upload_request(content)
        return
    request = read_upload_request(content)
    chunk = chunk_of(request)
    assert (chunk is not None) == (expected.WhichOneof("part") == "chunk")
    if chunk is not None:
        assert bytes(chunk) == expected.chunk
    else:
        assert request == expected


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 3 << 20])
def test_a_chunk_is_a_view_of_its_message(size: int) -> None:
    content = UploadDatasetRequest(chunk=b"x" * size).SerializeToString()
    request = read_upload_request(content)
    assert isinstance(request, ChunkRequest)
    assert request.chunk.obj is content
    assert request.chunk == b"x" * size
