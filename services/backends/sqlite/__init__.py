"""The job store on SQLite: one file, no server; safe for many threads and several processes."""

from services.backends.sqlite.schema import SCHEMA_VERSION
from services.backends.sqlite.store import SqliteStore

__all__ = ["SCHEMA_VERSION", "SqliteStore"]
