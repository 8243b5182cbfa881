"""The object store in a folder (`file:///path`): one file per object, whole or not there."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any

from services.core.errors import InvalidInput, NotFound, ObjectsUnavailable
from services.core.ports import ObjectInfo

__all__ = ["DirectoryObjects"]

# No segment begins with a dot: so neither `..` nor the folder of partial files can be named.
_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}"
_KEY = re.compile(rf"{_SEGMENT}(/{_SEGMENT}){{0,9}}", re.ASCII)
_PREFIX = re.compile(rf"({_SEGMENT}/){{0,9}}({_SEGMENT})?", re.ASCII)
_PARTIAL = ".partial"
_PARTIAL_MAX_AGE_SECONDS = 24 * 3600.0
_PLACING_ATTEMPTS = 10


class DirectoryObjects:
    """`services.core.ports.ObjectStore` under one folder, which several processes may share."""

    def __init__(self, root: Path) -> None:
        """Use this folder, or make it; remove what uploads that were killed left a day ago.

        Raises ObjectsUnavailable when it cannot be made or written.
        """
        self._root = root
        self._partial = root / _PARTIAL
        with self._translated():
            self._partial.mkdir(parents=True, exist_ok=True)
            self._remove_old_partials()

    def put(self, key: str, chunks: Iterable[bytes | memoryview]) -> ObjectInfo:
        """See the port. On the disk (fsync) when this returns; replaces an object of the same key."""
        path = self._path(key)
        partial = self._partial / secrets.token_hex(16)
        digest, size_bytes = hashlib.sha256(), 0
        with self._translated():
            file = FileIO(partial, "x")
        placed = False
        try:
            # Hashed while it is written and the next chunk is awaited, a chunk at a time.
            with file, ThreadPoolExecutor(1, thread_name_prefix="digest") as hashing:
                hashed: Future[None] | None = None
                for chunk in chunks:
                    if hashed is not None:
                        hashed.result()
                    hashed = hashing.submit(digest.update, chunk)
                    size_bytes += len(chunk)
                    with self._translated():
                        _write(file, chunk)
                with self._translated():
                    os.fsync(file.fileno())
            with self._translated():
                self._place(partial, path)
            placed = True
        finally:
            if not placed:
                with self._translated():
                    partial.unlink(missing_ok=True)
        return ObjectInfo(key, size_bytes, digest.hexdigest())

    def open(self, key: str) -> BufferedReader:
        """See the port."""
        path = self._path(key)
        try:
            return BufferedReader(_ObjectFile(path))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise NotFound(f"There is no object {key}.", "OBJECT_NOT_FOUND", {"object": key}) from error
        except OSError as error:
            raise _unavailable(error, self._root) from error

    def exists(self, key: str) -> bool:
        """See the port."""
        path = self._path(key)
        with self._translated():
            return path.is_file()

    def delete(self, key: str) -> None:
        """See the port."""
        path = self._path(key)
        with self._translated():
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return
            _sync_folder(path.parent)
            self._remove_empty_folders(path.parent)

    def list_keys(self, prefix: str, older_than: datetime) -> Iterator[str]:
        """See the port. In no order."""
        if not _PREFIX.fullmatch(prefix):
            raise _bad_key(prefix)
        with self._translated():
            self._remove_old_partials()
            return iter(list(self._keys(prefix, older_than.timestamp())))

    def ping(self) -> None:
        """See the port."""
        with self._translated():
            os.scandir(self._root).close()

    def close(self) -> None:
        """Nothing is held open."""

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise _bad_key(key)
        return self._root / key

    def _place(self, partial: Path, path: Path) -> None:
        """Move the finished file to its name, and make the name outlive a power cut."""
        for attempt in range(_PLACING_ATTEMPTS):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                partial.replace(path)
                break
            except (FileNotFoundError, FileExistsError):
                # A delete of the folder's last other object took the folder away in between; mkdir
                # then says either, as it looks twice.
                if attempt == _PLACING_ATTEMPTS - 1:
                    raise
        for folder in path.parents:
            _sync_folder(folder)
            if folder == self._root:
                break

    def _keys(self, prefix: str, before: float) -> Iterator[str]:
        folder, _, _ = prefix.rpartition("/")
        for where, folders, names in os.walk(self._root / folder, onerror=_raise_unless_gone):
            if _PARTIAL in folders:
                folders.remove(_PARTIAL)
            for name in names:
                path = Path(where, name)
                key = path.relative_to(self._root).as_posix()
                if not key.startswith(prefix) or not _KEY.fullmatch(key):
                    continue
                with suppress(FileNotFoundError):  # deleted while the list was made
                    if path.stat().st_mtime < before:
                        yield key

    def _remove_empty_folders(self, folder: Path) -> None:
        while folder != self._root:
            try:
                folder.rmdir()
            except OSError as error:
                if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}:
                    return
                raise
            folder = folder.parent

    def _remove_old_partials(self) -> None:
        before = time.time() - _PARTIAL_MAX_AGE_SECONDS
        for partial in self._partial.iterdir():
            with suppress(FileNotFoundError):  # its upload ended meanwhile
                if partial.stat().st_mtime < before:
                    partial.unlink()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _unavailable(error, self._root) from error


class _ObjectFile(FileIO):
    """Reads whose failures are the service's, too."""

    def readinto(self, buffer: Any) -> int | None:
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise _unavailable(error, Path(str(self.name))) from error

    def readall(self) -> bytes:
        try:
            return super().readall()
        except OSError as error:
            raise _unavailable(error, Path(str(self.name))) from error


def _write(file: FileIO, chunk: bytes | memoryview) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]


def _sync_folder(folder: Path) -> None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return  # emptied and removed meanwhile
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _bad_key(key: str) -> InvalidInput:
    return InvalidInput(f"{key[:80]!r} is not an object key of this service.", "BAD_OBJECT_KEY")


def _unavailable(error: OSError, path: Path) -> ObjectsUnavailable:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return ObjectsUnavailable(
                f"The disk of the object store {path} is full. Free some space and try again; "
                "nothing of this upload was kept."
            )
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return ObjectsUnavailable(
                f"The object store {path} cannot be used ({error.strerror}). Check the permissions "
                "of the folder."
            )
        case _:
            return ObjectsUnavailable(f"The object store {path} failed ({error.strerror}).")
