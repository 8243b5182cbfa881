"""Reading from S3: a seekable file over ranged requests, with bounded read-ahead."""

from __future__ import annotations

import hashlib
import io
from typing import Any

from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from services.backends.s3.failures import damaged, error_code, translated, unavailable
from services.backends.s3.upload import DIGEST, NO_TAGS, TOKEN

__all__ = ["MOST_AHEAD_BYTES", "S3Reader"]

# A jump fetches little: a Parquet footer, one column. What is read on from there fetches ever more.
_LEAST_AHEAD_BYTES = 64 << 10
MOST_AHEAD_BYTES = 4 << 20
_ATTEMPTS = 3
_BROKEN_OFF = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


class S3Reader(io.RawIOBase):
    """One object, as it was when it was opened; holds one window of at most MOST_AHEAD_BYTES.

    When it is read from end to end, its SHA-256 is compared with the stored one. Reads raise
    ObjectsUnavailable, NotFound when the object is deleted meanwhile, and DataLoss.
    """

    def __init__(self, client: Any, bucket: str, key: str, full_key: str) -> None:
        """Ask for its size; NotFound when there is none."""
        super().__init__()
        self._client, self._bucket, self._key = client, bucket, key
        self._object = {"Bucket": bucket, "Key": full_key}
        with translated(bucket, key):
            head = client.head_object(**self._object)
        self._size = int(head["ContentLength"])
        self._etag: str = head["ETag"]
        self._metadata: dict[str, str] = head["Metadata"]
        self._position = 0
        self._window, self._window_start = memoryview(b""), 0
        self._ahead = _LEAST_AHEAD_BYTES
        self._digest, self._digested = hashlib.sha256(), 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Bytes from the start."""
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go there without a request; ValueError before the start."""
        self._check_open()
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"Position {base + offset} is before the start of the object.")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read up to a window; 0 at the end."""
        self._check_open()
        into = memoryview(buffer).cast("B")
        data = self._at_position(len(into))[: len(into)]
        into[: len(data)] = data
        self._position += len(data)
        return len(data)

    def readall(self) -> bytes:
        """Read what is left."""
        self._check_open()
        content = bytearray()
        while data := self._at_position(MOST_AHEAD_BYTES):
            content += data
            self._position += len(data)
        return bytes(content)

    def close(self) -> None:
        """Forget the window; no connection is held between reads."""
        self._window = memoryview(b"")
        super().close()

    def _at_position(self, wanted: int) -> memoryview:
        """What the window holds from the position on, fetched if need be; empty at the end only."""
        within = self._position - self._window_start
        if not 0 <= within < len(self._window):
            left = self._size - self._position
            if left <= 0 or not wanted:
                return memoryview(b"")
            goes_on = self._position == self._window_start + len(self._window)
            self._ahead = min(2 * self._ahead, MOST_AHEAD_BYTES) if goes_on else _LEAST_AHEAD_BYTES
            size = min(left, max(min(wanted, MOST_AHEAD_BYTES), self._ahead))
            self._window = memoryview(b"")  # before the next one comes, so that there is one at a time
            self._window = memoryview(self._fetch(self._position, size))
            self._window_start, within = self._position, 0
        return self._window[within:]

    def _fetch(self, start: int, size: int) -> bytes:
        # Also for what shows only when the body is read, such as a checksum that is not right.
        with translated(self._bucket, self._key):
            data = self._get_all(f"bytes={start}-{start + size - 1}")
        if len(data) != size:
            raise damaged(self._key)
        self._verify(start, data)
        return data

    def _get_all(self, byte_range: str) -> bytes:
        for _ in range(1, _ATTEMPTS):
            try:
                return self._get(byte_range)
            except _BROKEN_OFF:
                continue  # the client repeats requests, but not answers that break off
        try:
            return self._get(byte_range)
        except _BROKEN_OFF as error:
            raise unavailable(self._bucket, f"breaks off its answers ({type(error).__name__}).") from error

    def _get(self, byte_range: str) -> bytes:
        with translated(self._bucket, self._key):
            try:
                answer = self._client.get_object(**self._object, Range=byte_range, IfMatch=self._etag)
            except ClientError as error:
                if error_code(error) in {"PreconditionFailed", "412"}:
                    raise unavailable(
                        self._bucket, f"has another {self._key} by now. Read it from the start."
                    ) from error
                raise
        with answer["Body"] as body:
            return bytes(body.read())

    def _verify(self, start: int, data: bytes) -> None:
        if start != self._digested:
            return
        self._digest.update(data)
        self._digested += len(data)
        if self._digested == self._size and self._stored_digest() not in {None, self._digest.hexdigest()}:
            raise damaged(self._key)

    def _stored_digest(self) -> str | None:
        token = self._metadata.get(TOKEN)
        if token is None:
            return self._metadata.get(DIGEST)
        with translated(self._bucket, self._key):
            try:
                answer = self._client.get_object_tagging(**self._object)
            except ClientError as error:
                if error_code(error) in NO_TAGS:
                    return None
                raise
        tags = {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}
        return tags.get(DIGEST) if tags.get(TOKEN) == token else None

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("The object was closed.")
