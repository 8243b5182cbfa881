"""The store: datasets, jobs, tasks and leases in one MongoDB database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.backends.mongodb.database import Database
from services.backends.mongodb.datasets import MongoDatasets
from services.backends.mongodb.job_life import MongoJobLife
from services.backends.mongodb.jobs import MongoJobs
from services.backends.mongodb.leases import MongoLeases
from services.backends.mongodb.publishing import MongoPublishing
from services.backends.mongodb.revisions import RevisionWatch
from services.backends.mongodb.states import TaskStates
from services.backends.mongodb.task_listings import MongoTaskListings
from services.backends.mongodb.tasks import MongoTasks
from services.backends.mongodb.usage import usage_of
from services.core.quotas import OwnerUsage

__all__ = ["MongoStore"]


class MongoStore(
    MongoDatasets, MongoJobs, MongoJobLife, MongoTasks, MongoTaskListings, MongoPublishing, MongoLeases
):
    """`services.core.ports.Store` on one database, which any number of processes share."""

    def __init__(self, url: str) -> None:
        """Connect to `mongodb://host/database` or `mongodb+srv://…` (database `kmeans` when not named).

        Options of the URL count, except that writes are always confirmed by a majority, journaled, and
        read from the primary. Raises InvalidInput (`BAD_BACKEND_URL`, `NOT_A_STORE`), StoreUnavailable
        when the server does not answer, FailedPrecondition (`STORE_TOO_NEW`,
        `STORE_TOO_OLD`, `STORE_NEEDS_REPLICA_SET`).
        """
        self._database = Database(url)
        self._watch = RevisionWatch(self._revisions)
        self._states = TaskStates()
        self._database.tell_commits_to(self._watch.look_again)

    def owner_usage(self, owner: str) -> OwnerUsage:
        """See the port."""
        with self._database.calls() as collections:
            return usage_of(collections, owner)

    def ping(self) -> None:
        """See the port."""
        self._database.ping()

    def close(self) -> None:
        """See the port. Who waits for a change gets StoreUnavailable."""
        self._database.close()
        self._watch.close()

    def _revisions(self, job_ids: Sequence[str]) -> Mapping[str, int]:
        with self._database.calls() as collections:
            found = collections.jobs.find({"_id": {"$in": list(job_ids)}}, {"revision": True})
            return {job["_id"]: int(job["revision"]) for job in found}
