"""Checks of the files a command is given, before anything is started for them."""

from __future__ import annotations

import os
from pathlib import Path

from services.core.errors import InvalidInput

__all__ = ["check_readable", "check_writable"]


def check_readable(path: Path) -> None:
    """Raise InvalidInput unless this is a file with something in it that can be read."""
    if not path.exists():
        raise InvalidInput(f"There is no file {path}.", "NO_FILE")
    if not path.is_file():
        raise InvalidInput(f"{path} is not a file.", "NO_FILE")
    if not os.access(path, os.R_OK):
        raise InvalidInput(f"{path} cannot be read: permission denied.", "NO_FILE")
    if path.stat().st_size == 0:
        raise InvalidInput(f"{path} is empty. A table needs a header and rows.", "EMPTY_FILE")


def check_writable(path: Path) -> None:
    """Raise InvalidInput unless a file can be written here."""
    folder = path.parent
    if not folder.is_dir():
        raise InvalidInput(f"{path} cannot be written: there is no folder {folder}.", "BAD_OUTPUT")
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise InvalidInput(f"{path} cannot be written.", "BAD_OUTPUT")
