"""Streaming into S3: one request for a small object, parts for a large one, nothing for a broken one."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from services.backends.s3.failures import error_code, translated
from services.core.errors import Unavailable

__all__ = ["DIGEST", "NO_TAGS", "PART_BYTES", "TOKEN", "Upload"]

# S3 wants at least 5 MiB, and takes 10,000 parts.
PART_BYTES = 8 << 20

DIGEST = "sha256"
TOKEN = "upload"
_CHECKSUM = "CRC32"

# Some servers have no tags, some credentials may not use them, and a delete may have been faster: the
# digest is then not known to readers, who go without.
NO_TAGS = frozenset({"AccessDenied", "MethodNotAllowed", "NoSuchKey", "NotImplemented", "501"})


@dataclass(slots=True)
class Upload:
    """One object on its way in; holds two parts of it in memory at most.

    Attributes:
        size_bytes: what came in so far.
        sha256: of what came in so far, lower-case hexadecimal, once `run` has returned.
    """

    client: Any
    bucket: str
    full_key: str
    size_bytes: int = 0
    sha256: str = ""

    def run(self, chunks: Iterable[bytes | memoryview]) -> None:
        """Store the chunks; when this raises, their error or ours, no part is left behind."""
        digest = hashlib.sha256()
        parts = self._parts(chunks, digest)
        first = next(parts)
        second = next(parts, None)
        if second is None:
            self.sha256 = digest.hexdigest()
            with translated(self.bucket):
                self.client.put_object(
                    **self._object(),
                    Body=first,
                    ChecksumAlgorithm=_CHECKSUM,
                    Metadata={DIGEST: self.sha256},
                )
            return
        token = secrets.token_hex(16)
        with translated(self.bucket):
            created = self.client.create_multipart_upload(
                **self._object(), ChecksumAlgorithm=_CHECKSUM, Metadata={TOKEN: token}
            )
        upload_id = created["UploadId"]
        try:
            sent = [self._send(upload_id, 1, first), self._send(upload_id, 2, second)]
            del first, second
            sent += [self._send(upload_id, number, part) for number, part in enumerate(parts, 3)]
            self.sha256 = digest.hexdigest()
            self._complete(upload_id, sent, token)
        except BaseException as error:
            self._abort(upload_id, error)
            raise
        self._note_digest(token)

    def _object(self) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.full_key}

    def _parts(self, chunks: Iterable[bytes | memoryview], digest: Any) -> Iterator[bytearray]:
        """At least one part, all of PART_BYTES but the last."""
        part = bytearray()
        for chunk in chunks:
            digest.update(chunk)
            self.size_bytes += len(chunk)
            rest = memoryview(chunk)
            while len(part) + len(rest) > PART_BYTES:
                cut = PART_BYTES - len(part)
                part += rest[:cut]
                rest = rest[cut:]
                yield part
                part = bytearray()
            part += rest
        yield part

    def _send(self, upload_id: str, number: int, part: bytearray) -> dict[str, Any]:
        with translated(self.bucket):
            stored = self.client.upload_part(
                **self._object(),
                UploadId=upload_id,
                PartNumber=number,
                Body=part,
                ChecksumAlgorithm=_CHECKSUM,
            )
        names = ("ETag", f"Checksum{_CHECKSUM}")
        return {"PartNumber": number, **{name: stored[name] for name in names if name in stored}}

    def _complete(self, upload_id: str, sent: list[dict[str, Any]], token: str) -> None:
        with translated(self.bucket):
            try:
                self.client.complete_multipart_upload(
                    **self._object(), UploadId=upload_id, MultipartUpload={"Parts": sent}
                )
            except ClientError as error:
                # The client repeats a request whose answer was lost; the first may have succeeded.
                if error_code(error) != "NoSuchUpload" or not self._is_there(token):
                    raise

    def _is_there(self, token: str) -> bool:
        return bool(self.client.head_object(**self._object())["Metadata"].get(TOKEN) == token)

    def _abort(self, upload_id: str, cause: BaseException) -> None:
        """Remove the parts. The cause is what the caller hears of, whatever becomes of this."""
        try:
            with translated(self.bucket):
                self.client.abort_multipart_upload(**self._object(), UploadId=upload_id)
        except Unavailable as error:
            cause.add_note(f"The parts of the upload are left for the next removal of orphans: {error}")

    def _note_digest(self, token: str) -> None:
        """Metadata is written before the first part, when the digest is not known: tags have to do.

        The token says which upload they are of: another one may have replaced the object meanwhile.
        """
        tags = {"TagSet": [{"Key": DIGEST, "Value": self.sha256}, {"Key": TOKEN, "Value": token}]}
        with translated(self.bucket):
            try:
                self.client.put_object_tagging(**self._object(), Tagging=tags)
            except ClientError as error:
                if error_code(error) not in NO_TAGS:
                    raise
