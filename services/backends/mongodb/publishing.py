"""What was given to the queue, in MongoDB: one document for all tasks that were published at once.

Noted in the tasks themselves it would be a write more for each of them. That a task waits is told by its
state; that it was published since it began to wait, by a publication of a revision that is not below the one
at which it did (`waiting_from`): losing a task or retrying it so voids what was published of it before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from bson import ObjectId

from services.backends.mongodb.database import Collections, Database
from services.backends.mongodb.job_tasks import JobTasks, Publication
from services.backends.mongodb.states import TaskStates
from services.core.tasks import TaskKey

__all__ = ["MongoPublishing"]

# Of nothing, and so over.
_DAMAGED = Publication(datetime.min.replace(tzinfo=UTC), 0, ())

_log = structlog.get_logger("mongodb")


class MongoPublishing:
    """What of `services.core.ports.TaskStore` the scheduler asks to publish, and to note that it did."""

    def __init__(self, database: Database, states: TaskStates) -> None:
        """Keep publications in this database, of whose tasks `states` knows the states."""
        self._database = database
        self._states = states

    def mark_published(self, keys: Sequence[TaskKey], now: datetime) -> None:
        """See the port. Publications that are over are removed meanwhile."""
        by_job: dict[str, list[TaskKey]] = {}
        for key in dict.fromkeys(keys):
            by_job.setdefault(key.job_id, []).append(key)
        with self._database.calls() as collections:
            for job_id, of_job in by_job.items():
                self._note(collections, job_id, of_job, now)

    def count_outstanding(self, job_id: str, published_since: datetime) -> int:
        """See the port."""
        with self._database.calls() as collections:
            # Before the states: a task claimed in between runs then, and is not left out.
            publications = tuple(_read(collections, job_id).values())
            return self._states.ask(
                collections, job_id, lambda tasks: tasks.count_outstanding(publications, published_since)
            )

    def unpublished_tasks(self, job_id: str, published_before: datetime, limit: int) -> tuple[TaskKey, ...]:
        """See the port."""
        with self._database.calls() as collections:
            publications = tuple(_read(collections, job_id).values())
            return self._states.ask(
                collections, job_id, lambda tasks: tasks.unpublished(publications, published_before, limit)
            )

    def suspect_tasks(self, job_id: str) -> tuple[TaskKey, ...]:
        """See the port."""
        with self._database.calls() as collections:
            return self._states.ask(collections, job_id, JobTasks.suspects)

    def _note(self, collections: Collections, job_id: str, keys: Iterable[TaskKey], now: datetime) -> None:
        noted = _read(collections, job_id)
        ids = [key.id for key in keys]
        anew = frozenset(ids)
        revision, over = self._states.ask(
            collections,
            job_id,
            lambda tasks: (
                tasks.revision,
                [name for name, each in noted.items() if tasks.is_over(each, anew)],
            ),
        )
        if not revision:
            return  # the job is gone
        # First: what is noted twice harms nobody. An upsert, as only that can take the server's time.
        collections.publications.update_one(
            {"_id": ObjectId()},
            {
                "$set": {"job_id": job_id, "at": now, "revision": revision, "tasks": ids},
                "$currentDate": {"noted_at": True},
            },
            upsert=True,
        )
        if over:
            collections.publications.delete_many({"_id": {"$in": over}})


def _read(collections: Collections, job_id: str) -> dict[object, Publication]:
    """The publications of a job by their `_id`; a few at a time, since those that are over are removed."""
    records = collections.publications.find({"job_id": job_id})
    return {record["_id"]: _publication(record) for record in records}


def _publication(record: Mapping[str, Any]) -> Publication:
    try:
        return Publication(record["at"], int(record["revision"]), tuple(record["tasks"]))
    except (KeyError, TypeError, ValueError) as error:
        # Without it its tasks are published once more, which claims make harmless; so it is no loss.
        _log.warning("damaged publication passed over", id=str(record.get("_id")), error=str(error))
        return _DAMAGED
