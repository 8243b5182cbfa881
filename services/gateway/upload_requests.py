"""Messages of an upload as they come over the wire; the bytes of a chunk stay where gRPC put them.

A gateway spends most of an upload on copying. Protobuf's parser copies a chunk once, and each reading of the
field copies it again; a message that is a chunk and nothing else needs neither.
"""

from __future__ import annotations

from dataclasses import dataclass

from kmeans.v1.dataset_service_pb2 import UploadDatasetRequest

__all__ = ["ChunkRequest", "UploadRequest", "chunk_of", "read_upload_request"]

# https://protobuf.dev/programming-guides/encoding: number and wire type of a field, the length of its bytes.
_LENGTH_DELIMITED = 2
_CHUNK_TAG = bytes([UploadDatasetRequest.CHUNK_FIELD_NUMBER << 3 | _LENGTH_DELIMITED])
_MAX_LENGTH_BYTES = 5


@dataclass(frozen=True, slots=True)
class ChunkRequest:
    """An `UploadDatasetRequest` whose part is a chunk; `chunk` is a view of the message."""

    chunk: memoryview


UploadRequest = UploadDatasetRequest | ChunkRequest


def read_upload_request(content: bytes) -> UploadRequest:
    """The message that these bytes are, the same as protobuf's parser would make of them.

    That parser reads all but the one form in which every client sends a chunk: its field, once, and nothing
    beside it. Raises DecodeError as it does.
    """
    if content[:1] == _CHUNK_TAG:
        length = 0
        for place, byte in enumerate(content[1 : 1 + _MAX_LENGTH_BYTES]):
            length |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                start = 2 + place
                if start + length == len(content):
                    return ChunkRequest(memoryview(content)[start:])
                break
    return UploadDatasetRequest.FromString(content)


def chunk_of(request: UploadRequest) -> bytes | memoryview | None:
    """The bytes of a chunk; None for any other part."""
    if isinstance(request, ChunkRequest):
        return request.chunk
    return request.chunk if request.WhichOneof("part") == "chunk" else None
