"""SQLite's failures as the service's errors, each with a sentence."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from services.core.errors import DataLoss, ServiceError, StoreUnavailable

__all__ = ["closed_store", "translate"]

_PRIMARY_CODE = 0xFF  # the rest of an extended code says where, not what


def closed_store() -> StoreUnavailable:
    """The error of a call on a store that was closed."""
    return StoreUnavailable("The job store is closed.", "STORE_CLOSED")


def translate(error: sqlite3.Error, path: Path) -> ServiceError:
    """The error that callers see instead of the driver's."""
    code = getattr(error, "sqlite_errorcode", None)
    match None if code is None else code & _PRIMARY_CODE:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreUnavailable(
                f"The job store {path} is locked by another process. Try again in a moment."
            )
        case sqlite3.SQLITE_FULL:
            return StoreUnavailable(
                f"The disk of the job store {path} is full. Free some space and try again; "
                "nothing of this change was kept."
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return StoreUnavailable(
                f"The job store {path} cannot be written. Check the permissions of the file and its folder."
            )
        case sqlite3.SQLITE_CANTOPEN:
            return StoreUnavailable(
                f"The job store {path} cannot be opened. Check that its folder exists and may be written."
            )
        case sqlite3.SQLITE_IOERR:
            return StoreUnavailable(f"The disk of the job store {path} reported an error ({error}).")
        case sqlite3.SQLITE_NOMEM | sqlite3.SQLITE_PROTOCOL | sqlite3.SQLITE_INTERRUPT:
            return StoreUnavailable(f"The job store {path} could not answer ({error}). Try again.")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return DataLoss(
                f"The job store {path} is damaged or is no SQLite database ({error}). Restore it "
                "from a backup, or move it away to begin with an empty one.",
                "STORE_DAMAGED",
            )
        case _:
            # A statement that SQLite refuses is a mistake of ours; trying again would not help.
            return ServiceError(f"The job store {path} refused a change ({error}).")
