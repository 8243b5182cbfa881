"""Named leases in SQLite."""

from __future__ import annotations

from datetime import datetime

from services.backends.sqlite.database import Database
from services.backends.sqlite.records import to_micros

__all__ = ["SqliteLeases"]


class SqliteLeases:
    """`services.core.ports.LeaseStore`."""

    def __init__(self, database: Database) -> None:
        """Keep leases in this database."""
        self._database = database

    def acquire_lease(self, name: str, holder: str, until: datetime, now: datetime) -> bool:
        """See the port."""
        with self._database.write() as transaction:
            cursor = transaction.execute(
                "INSERT INTO leases (name, holder, until) VALUES (?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until "
                "WHERE holder = excluded.holder OR until < ?",
                (name, holder, to_micros(until), to_micros(now)),
            )
            return cursor.rowcount == 1

    def release_lease(self, name: str, holder: str) -> None:
        """See the port."""
        with self._database.write() as transaction:
            transaction.execute("DELETE FROM leases WHERE name = ? AND holder = ?", (name, holder))

    def remove_leases(self, ended_before: datetime) -> int:
        """See the port."""
        with self._database.write() as transaction:
            cursor = transaction.execute("DELETE FROM leases WHERE until < ?", (to_micros(ended_before),))
            return cursor.rowcount
