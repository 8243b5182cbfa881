"""Text of an upload as UTF-8: decompressed and decoded as it is read, in bounded memory."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from enum import StrEnum
from typing import BinaryIO

from services.tables import limits
from services.tables.refusals import Reason, refusal

__all__ = ["CHUNK_BYTES", "Encoding", "check_text_size", "open_bytes", "open_text"]

CHUNK_BYTES = 1 << 20


class Encoding(StrEnum):
    """How characters are written; the values are Python's codec names."""

    UTF_8 = "utf-8"
    UTF_16 = "utf-16"
    WINDOWS_1252 = "cp1252"


class _BoundedGunzip(io.RawIOBase):
    """Decompresses as it is read and stops a bomb at `limits.MAX_TEXT_BYTES`."""

    def __init__(self, source: BinaryIO, display_name: str) -> None:
        self._gunzip = gzip.GzipFile(fileobj=source, mode="rb")
        self._display_name = display_name
        self._size_bytes = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` decompressed bytes; raise InvalidTable BAD_GZIP or TOO_LARGE."""
        try:
            chunk = self._gunzip.read(CHUNK_BYTES if size < 0 else size)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise refusal(
                Reason.BAD_GZIP,
                f"'{self._display_name}' is a gzip file that is cut off or damaged. Compress and upload it "
                "again.",
            ) from error
        self._size_bytes += len(chunk)
        check_text_size(self._size_bytes, self._display_name)
        return chunk


class _ChunkReader(io.RawIOBase):
    """A file over an iterator of byte chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` from the current chunk; 0 at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def open_bytes(source: BinaryIO, display_name: str, *, compressed: bool) -> BinaryIO | _BoundedGunzip:
    """Rewind `source` and return a reader of its bytes, decompressed where they are a gzip."""
    source.seek(0)
    return _BoundedGunzip(source, display_name) if compressed else source


def open_text(
    source: BinaryIO, display_name: str, encoding: Encoding, *, compressed: bool
) -> io.BufferedReader:
    """Rewind `source` and return its text as UTF-8 without byte-order mark."""
    reader = open_bytes(source, display_name, compressed=compressed)
    return io.BufferedReader(_ChunkReader(_utf8_chunks(reader, encoding)), CHUNK_BYTES)


def check_text_size(size_bytes: int, display_name: str) -> None:
    """Raise InvalidTable TOO_LARGE when a text unfolds to more than `limits.MAX_TEXT_BYTES`."""
    if size_bytes > limits.MAX_TEXT_BYTES:
        raise refusal(
            Reason.TOO_LARGE,
            f"'{display_name}' unfolds to more than {limits.MAX_TEXT_BYTES} bytes of text. Upload fewer rows "
            "or columns.",
        )


def _utf8_chunks(reader: BinaryIO | _BoundedGunzip, encoding: Encoding) -> Iterator[bytes]:
    if encoding is Encoding.UTF_8:
        first = reader.read(CHUNK_BYTES)
        yield first.removeprefix(codecs.BOM_UTF8)
        while chunk := reader.read(CHUNK_BYTES):
            yield chunk
        return
    decoder = codecs.getincrementaldecoder(encoding.value)("replace")
    while chunk := reader.read(CHUNK_BYTES):
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", True).encode()
