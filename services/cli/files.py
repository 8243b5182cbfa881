"""Checks of the files a command is given, before anything is started for them."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from services.core.errors import InvalidInput

__all__ = ["check_readable", "check_writable", "writing"]

_MAX_NAME_BYTES = 200


def check_readable(path: Path) -> None:
    """Raise InvalidInput unless this is a file with something in it that can be read."""
    try:
        status = path.stat()
        with path.open("rb") if stat.S_ISREG(status.st_mode) else contextlib.nullcontext():
            pass
    except FileNotFoundError as error:
        raise InvalidInput(f"There is no file {path}.", "NO_FILE") from error
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read ({error.strerror}).", "NO_FILE") from error
    if not stat.S_ISREG(status.st_mode):
        raise InvalidInput(f"{path} is not a file.", "NO_FILE")
    if status.st_size == 0:
        raise InvalidInput(f"{path} is empty. A table needs a header and rows.", "EMPTY_FILE")


def check_writable(path: Path, *, read: Path | None = None) -> None:
    """Raise InvalidInput unless a file can be written here, and it is not the one that is read."""
    folder = path.parent
    if len(os.fsencode(path.name)) > _MAX_NAME_BYTES:
        raise InvalidInput(f"{path} cannot be written: the name is too long.", "BAD_OUTPUT")
    if read is not None and path.exists() and path.samefile(read):
        raise InvalidInput(f"{path} is the table itself; write to another file.", "BAD_OUTPUT")
    if not folder.is_dir():
        raise InvalidInput(f"{path} cannot be written: there is no folder {folder}.", "BAD_OUTPUT")
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise InvalidInput(f"{path} cannot be written.", "BAD_OUTPUT")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A path to write to that becomes `path` when all went well; what was there stays until then.

    A pipe or a device is written to as it is.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
