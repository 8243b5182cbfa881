"""Named leases in MongoDB: a single document each, so no transaction is needed."""

from __future__ import annotations

from datetime import datetime

from pymongo.errors import DuplicateKeyError

from services.backends.mongodb.database import Database

__all__ = ["MongoLeases"]


class MongoLeases:
    """`services.core.ports.LeaseStore`."""

    def __init__(self, database: Database) -> None:
        """Keep leases in this database."""
        self._database = database

    def acquire_lease(self, name: str, holder: str, until: datetime, now: datetime) -> bool:
        """See the port."""
        with self._database.calls() as collections:
            try:
                collections.leases.update_one(
                    {"_id": name, "$or": [{"holder": holder}, {"until": {"$lt": now}}]},
                    {"$set": {"holder": holder, "until": until}},
                    upsert=True,
                )
            except DuplicateKeyError:
                # There is one and the filter passed it over: another holder's, which has not ended.
                return False
        return True

    def release_lease(self, name: str, holder: str) -> None:
        """See the port."""
        with self._database.calls() as collections:
            collections.leases.delete_one({"_id": name, "holder": holder})

    def remove_leases(self, ended_before: datetime) -> int:
        """See the port."""
        with self._database.calls() as collections:
            return collections.leases.delete_many({"until": {"$lt": ended_before}}).deleted_count
