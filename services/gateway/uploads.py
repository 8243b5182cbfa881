"""Uploads: a stream of messages becomes a stored dataset, or leaves nothing."""

from __future__ import annotations

import errno
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import structlog
from kmeans.v1.dataset_service_pb2 import UploadDatasetRequest

from services.core.clock import Clock
from services.core.datasets import MAX_ROWS, Dataset, TableFormat, original_key, table_key
from services.core.errors import (
    FieldViolation,
    InvalidInput,
    LimitExceeded,
    NotFound,
    ServiceError,
    Unavailable,
)
from services.core.ports import ObjectInfo, ObjectStore, Store
from services.core.quotas import NO_LIMITS, OwnerLimits, check_quota
from services.core.validation import check_display_name
from services.gateway.errors import invalid_field
from services.gateway.messages import TABLE_FORMATS
from services.gateway.names import new_id, parse_request_id
from services.gateway.parses import Parses
from services.gateway.upload_requests import UploadRequest, chunk_of
from services.tables import ParsedTable

__all__ = ["MAX_CHUNK_BYTES", "UploadHeader", "Uploads", "read_header"]

MAX_CHUNK_BYTES = 3 << 20

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_READ_BYTES = 1 << 20

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class UploadHeader:
    """What the client says about a file before its bytes.

    Attributes:
        format: None to detect it.
        size_bytes: None when unknown.
        sha256: "" when unknown.
        request_id: "" when none is given.
    """

    display_name: str
    format: TableFormat | None
    size_bytes: int | None
    sha256: str
    request_id: str


class Uploads:
    """Receives files in bounded memory: every byte passes once through the object store, then the parser."""

    def __init__(
        self,
        store: Store,
        objects: ObjectStore,
        clock: Clock,
        *,
        max_upload_bytes: int,
        max_rows: int = MAX_ROWS,
        limits: OwnerLimits = NO_LIMITS,
    ) -> None:
        """Accept files of at most `max_upload_bytes` and `max_rows` data rows, within the owners' limits."""
        self._store = store
        self._objects = objects
        self._max_upload_bytes = max_upload_bytes
        self._parses = Parses(max_rows)
        self._limits = limits
        self._clock = clock

    def receive(
        self,
        owner: str,
        requests: Iterator[UploadRequest],
        check_still_wanted: Callable[[], None],
    ) -> Dataset:
        """Store the file that the requests carry, and return its dataset.

        With a request_id the owner used before, for the same bytes, return the dataset made then; objects
        of it that were lost since are put back.

        Args:
            owner: whose dataset it becomes.
            requests: the header first, then chunks; what iterating them raises passes through.
            check_still_wanted: called between the steps and within the parse; raises when nobody waits any
                more.

        Raises:
            InvalidInput: a header or message that is wrong, or bytes that are not those announced.
            InvalidTable: the bytes are not a table.
            LimitExceeded: more bytes than allowed (`UPLOAD_TOO_LARGE`), or than the owner may have.
            Conflict: the request_id was used for other bytes or another display name.
            Unavailable: the temporary folder is full or cannot be used, or a server does not answer.
        """
        header = read_header(requests, self._max_upload_bytes)
        check_room = self._room_check(owner, header)
        check_room(header.size_bytes or 0)
        dataset_id = new_id()
        with ExitStack() as undo:
            # One after the other, so that a failing delete of the one still tries the other.
            undo.callback(self._discard, original_key(dataset_id))
            original = self._objects.put(
                original_key(dataset_id), _chunks(requests, header, self._max_upload_bytes, check_room)
            )
            _check_arrived(header, original)
            check_still_wanted()
            undo.callback(self._discard, table_key(dataset_id))
            parsed = self._parse(
                header.display_name,
                header.format,
                original_key(dataset_id),
                table_key(dataset_id),
                check_still_wanted,
            )
            check_still_wanted()
            dataset = Dataset(
                id=dataset_id,
                owner=owner,
                display_name=header.display_name,
                format=parsed.format,
                size_bytes=original.size_bytes,
                sha256=original.sha256,
                row_count=parsed.row_count,
                columns=parsed.columns,
                correlation=parsed.correlation,
                created_at=self._clock(),
                request_id=header.request_id,
            )
            kept = self._insert(dataset, undo)
            if kept.id == dataset_id:
                undo.pop_all()
            else:
                self._repair(kept, original_key(dataset_id), check_still_wanted)
        _log.info(
            "dataset uploaded" if kept.id == dataset_id else "dataset uploaded before",
            dataset_id=kept.id,
            size_bytes=kept.size_bytes,
            row_count=kept.row_count,
            columns=len(kept.columns),
        )
        return kept

    def _room_check(self, owner: str, header: UploadHeader) -> Callable[[int], None]:
        """Raises LimitExceeded for a size that the owner has no room for, as it is now.

        So that bytes which cannot be kept are not taken in, either; the store decides, when all are here. A
        repeated upload needs no room: its bytes have theirs already.
        """
        if not self._limits.stored_bytes or (
            header.request_id and self._store.dataset_of_request(owner, header.request_id) is not None
        ):
            return lambda size_bytes: None
        usage = self._store.owner_usage(owner)
        return lambda size_bytes: check_quota(self._limits, usage, owner, stored_bytes=size_bytes)

    def _parse(
        self,
        display_name: str,
        table_format: TableFormat | None,
        source_key: str,
        destination_key: str,
        check_still_wanted: Callable[[], None],
    ) -> ParsedTable:
        with (
            _temporary_folder() as folder,
            self._objects.open(source_key) as source,
        ):
            destination = Path(folder, "table.parquet")
            parsed = self._parses.parse(source, display_name, table_format, destination, check_still_wanted)
            with destination.open("rb") as table:
                self._objects.put(destination_key, _pieces(table, check_still_wanted))
        return parsed

    def _repair(self, kept: Dataset, fresh_key: str, check_still_wanted: Callable[[], None]) -> None:
        """Put back what was lost of a dataset whose bytes have just come again.

        Without it the record would stay without bytes for good: every repeat of the upload finds it.
        """
        if not self._objects.exists(original_key(kept.id)):
            with self._objects.open(fresh_key) as fresh:
                self._objects.put(original_key(kept.id), _pieces(fresh, check_still_wanted))
            _log.warning("lost object put back", dataset_id=kept.id, key=original_key(kept.id))
        if not self._objects.exists(table_key(kept.id)):
            # Parsed anew, in the format of the record: this upload may have stated another one.
            self._parse(kept.display_name, kept.format, fresh_key, table_key(kept.id), check_still_wanted)
            _log.warning("lost object put back", dataset_id=kept.id, key=table_key(kept.id))

    def _insert(self, dataset: Dataset, undo: ExitStack) -> Dataset:
        try:
            return self._store.insert_dataset(dataset, self._limits)
        except Unavailable:
            # The record may have been written all the same. A dataset without bytes is worse than
            # bytes without a dataset, which the removal of orphans finds: when in doubt, keep them.
            try:
                self._store.get_dataset(dataset.id)
            except NotFound:
                raise
            except Unavailable:
                undo.pop_all()
                raise
            undo.pop_all()
            raise

    def _discard(self, key: str) -> None:
        try:
            self._objects.delete(key)
        except ServiceError as error:
            # The reason why the upload failed is what the client should see; the orphan is harmless.
            _log.warning("object of a failed upload not removed", key=key, reason=error.reason)


@contextmanager
def _temporary_folder() -> Iterator[str]:
    """A folder for files of one upload; Unavailable, naming where, when its disk is full or fails.

    The object store tells its own failures as ServiceError, so an OSError in here is about this folder.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="kmeans-upload-") as folder:
            yield folder
    except OSError as error:
        if error.errno is None:
            raise
        where = tempfile.gettempdir() if tempfile.tempdir is not None else "(none can be written)"
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise Unavailable(
                f"The temporary folder {where} is full. Free some space there, or set TMPDIR to a folder "
                "that has some; nothing of this upload was kept.",
                "TEMPORARY_DISK_FULL",
            ) from error
        raise Unavailable(
            f"The temporary folder {where} cannot be used ({error.strerror}). Check its permissions, or set "
            "TMPDIR to another folder; nothing of this upload was kept.",
            "TEMPORARY_FOLDER_UNUSABLE",
        ) from error


def _pieces(source: BinaryIO, check_still_wanted: Callable[[], None]) -> Iterator[bytes]:
    for piece in iter(partial(source.read, _READ_BYTES), b""):
        check_still_wanted()
        yield piece


def read_header(requests: Iterator[UploadRequest], max_upload_bytes: int) -> UploadHeader:
    """Take the first message of an upload.

    Raises:
        InvalidInput: it is missing or not a header, or fields of it are wrong (all are named).
        LimitExceeded: it announces more than `max_upload_bytes`.
    """
    first = next(requests, None)
    if not isinstance(first, UploadDatasetRequest) or first.WhichOneof("part") != "header":
        raise invalid_field("header", "The first message of an upload must be its header.", "HEADER_MISSING")
    message = first.header
    violations: list[FieldViolation] = []
    display_name = message.display_name.strip()
    if not display_name:
        violations.append(
            FieldViolation("header.display_name", "display_name is empty; give the file's name.")
        )
    try:
        check_display_name(display_name)
    except InvalidInput as error:
        violations += [replace(violation, field="header.display_name") for violation in error.violations]
    if message.size_bytes < 0:
        violations.append(
            FieldViolation("header.size_bytes", f"size_bytes is {message.size_bytes}; it must be 0 or more.")
        )
    if message.sha256 and not _SHA256.fullmatch(message.sha256):
        violations.append(
            FieldViolation("header.sha256", "sha256 is not 64 lower-case hexadecimal characters.")
        )
    table_format: TableFormat | None = None
    request_id = ""
    try:
        table_format = TABLE_FORMATS.read(message.format, "header.format")
    except InvalidInput as error:
        violations += error.violations
    try:
        request_id = parse_request_id(message.request_id, "header.request_id")
    except InvalidInput as error:
        violations += error.violations
    if violations:
        raise InvalidInput(
            " ".join(violation.description for violation in violations), violations=tuple(violations)
        )
    if message.size_bytes > max_upload_bytes:
        raise _too_large(max_upload_bytes)
    return UploadHeader(display_name, table_format, message.size_bytes or None, message.sha256, request_id)


def _chunks(
    requests: Iterable[UploadRequest],
    header: UploadHeader,
    max_upload_bytes: int,
    check_room: Callable[[int], None],
) -> Iterator[bytes | memoryview]:
    size_bytes = 0
    for request in requests:
        chunk = chunk_of(request)
        if chunk is None:
            raise invalid_field(
                "chunk", "Every message of an upload after the header must carry a chunk.", "CHUNK_MISSING"
            )
        size_bytes += len(chunk)
        if len(chunk) > MAX_CHUNK_BYTES:
            raise invalid_field(
                "chunk",
                f"A chunk has {len(chunk)} bytes; at most {MAX_CHUNK_BYTES} are allowed.",
                "CHUNK_TOO_LARGE",
            )
        if size_bytes > max_upload_bytes:
            raise _too_large(max_upload_bytes)
        if header.size_bytes is not None and size_bytes > header.size_bytes:
            raise _wrong_size(header.size_bytes, f"more than {header.size_bytes}")
        check_room(size_bytes)
        if chunk:
            yield chunk


def _check_arrived(header: UploadHeader, original: ObjectInfo) -> None:
    if header.size_bytes is not None and original.size_bytes != header.size_bytes:
        raise _wrong_size(header.size_bytes, str(original.size_bytes))
    if header.sha256 and original.sha256 != header.sha256:
        raise invalid_field(
            "header.sha256",
            f"The bytes that arrived have the SHA-256 {original.sha256}, not the announced one. "
            "Upload the file again.",
            "CHECKSUM_MISMATCH",
        )


def _wrong_size(announced: int, arrived: str) -> InvalidInput:
    return invalid_field(
        "header.size_bytes",
        f"The header announced {announced} bytes, and {arrived} arrived. Upload the file again.",
        "SIZE_MISMATCH",
    )


def _too_large(max_upload_bytes: int) -> LimitExceeded:
    return LimitExceeded(
        f"The file has more than {max_upload_bytes} bytes, the most this service accepts. "
        "Leave out columns that are not needed, or upload it as Parquet.",
        "UPLOAD_TOO_LARGE",
        {"max_upload_bytes": str(max_upload_bytes)},
    )
