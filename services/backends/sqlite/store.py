"""The store: datasets, jobs, tasks and leases in one SQLite file."""

from __future__ import annotations

from pathlib import Path

from services.backends.sqlite.database import Database
from services.backends.sqlite.datasets import SqliteDatasets
from services.backends.sqlite.job_life import SqliteJobLife
from services.backends.sqlite.jobs import SqliteJobs
from services.backends.sqlite.leases import SqliteLeases
from services.backends.sqlite.task_listings import SqliteTaskListings
from services.backends.sqlite.tasks import SqliteTasks
from services.backends.sqlite.usage import usage_of
from services.core.quotas import OwnerUsage

__all__ = ["SqliteStore"]


class SqliteStore(SqliteDatasets, SqliteJobs, SqliteJobLife, SqliteTasks, SqliteTaskListings, SqliteLeases):
    """`services.core.ports.Store` on one file, which several processes may share."""

    def __init__(self, path: Path, *, busy_timeout_seconds: float = 10.0) -> None:
        """Open the file, or make it with its folder.

        A change waits up to `busy_timeout_seconds` for the changes of others before it gives up with
        StoreUnavailable. Raises StoreUnavailable when the file cannot be opened or made, DataLoss
        when it is damaged, FailedPrecondition (`STORE_TOO_NEW`) when a newer version made it.
        """
        self._database = Database(path, busy_timeout_seconds)

    def owner_usage(self, owner: str) -> OwnerUsage:
        """See the port."""
        with self._database.read() as transaction:
            return usage_of(transaction, owner)

    def ping(self) -> None:
        """See the port."""
        with self._database.read() as transaction:
            transaction.one("SELECT count(*) FROM leases")

    def close(self) -> None:
        """See the port. Who waits for a change gets StoreUnavailable."""
        self._database.close()
