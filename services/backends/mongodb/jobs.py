"""Job records in MongoDB, and what of their tasks has changed."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Mapping
from operator import itemgetter

from pymongo import ASCENDING
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from services.backends.documents import Document
from services.backends.missing import dataset_not_found, job_not_found
from services.backends.mongodb.blocks import block_id
from services.backends.mongodb.database import Collections, Database, Transaction
from services.backends.mongodb.positions import NEWEST_FIRST, behind_newest, newest_page
from services.backends.mongodb.records import block_tasks, job_record, read_job_record, read_task
from services.backends.mongodb.revisions import RevisionWatch
from services.backends.mongodb.usage import hold_owner, note_owner
from services.backends.request_ids import same_job
from services.backends.sound import read_sound
from services.core.errors import Conflict, FailedPrecondition
from services.core.jobs import Job, JobFilter, JobState
from services.core.pages import Page, PageRequest
from services.core.quotas import NO_LIMITS, OwnerLimits, check_quota
from services.core.tasks import Task, TaskKey

__all__ = ["MongoJobs", "fetch_job"]

_STATES = frozenset(JobState)


class MongoJobs:
    """The records of `services.core.ports.JobStore`; `MongoJobLife` has the changes of state."""

    def __init__(self, database: Database, watch: RevisionWatch) -> None:
        """Keep jobs in this database, whose revisions `watch` follows."""
        self._database = database
        self._watch = watch

    def insert_job(self, job: Job, limits: OwnerLimits = NO_LIMITS) -> Job:
        """See the port. Conflict also for an id that another job has."""

        def insert(transaction: Transaction) -> Job:
            collections, session = transaction.collections, transaction.session
            made = _by_request(collections, job, session)
            if made is not None:
                return same_job(made, job)
            # Written to, not only read, so that a concurrent delete of it is in our way or we in its.
            if not collections.datasets.update_one(
                {"_id": job.spec.dataset_id}, {"$inc": {"jobs_made": 1}}, session=session
            ).matched_count:
                raise dataset_not_found(job.spec.dataset_id)
            if limits != NO_LIMITS:
                usage = hold_owner(transaction, job.owner)
                check_quota(limits, usage, job.owner, jobs=1, tasks=job.spec.n_tasks)
            collections.jobs.insert_one(job_record(job), session=session)
            return job

        if limits != NO_LIMITS:
            with self._database.calls() as collections:
                note_owner(collections, job.owner)
        try:
            return self._database.change(job.spec.dataset_id, insert, expected=DuplicateKeyError)
        except DuplicateKeyError as error:
            # Another process made it meanwhile, or the answer to our own commit was lost.
            with self._database.calls() as collections:
                made = _by_request(collections, job)
                if made is not None:
                    return same_job(made, job)
                record = collections.jobs.find_one({"_id": job.id})
            made = None if record is None else read_job_record(record)
            if made is None or (made.spec, made.created_at) != (job.spec, job.created_at):
                raise Conflict(
                    f"There is a job {job.id} already.", "JOB_EXISTS", {"job": f"jobs/{job.id}"}
                ) from error
            return made

    def job_made_before(self, job: Job) -> Job | None:
        """See the port."""
        with self._database.calls() as collections:
            made = _by_request(collections, job)
        return None if made is None else same_job(made, job)

    def get_job(self, job_id: str) -> Job:
        """See the port."""
        with self._database.calls() as collections:
            return fetch_job(collections, job_id)

    def list_jobs(self, job_filter: JobFilter, page: PageRequest) -> Page[Job]:
        """See the port."""
        wanted: Document = behind_newest(page)
        if job_filter.owner is not None:
            wanted["owner"] = job_filter.owner
        if job_filter.dataset_id is not None:
            wanted["spec.dataset_id"] = job_filter.dataset_id
        if job_filter.states is not None:
            wanted["state"] = {"$in": [state.value for state in job_filter.states]}
        with self._database.calls() as collections:
            if job_filter.query is not None:
                wanted = {"_id": {"$in": _found(collections, wanted, job_filter, page.size + 1)}}
            records = list(collections.jobs.find(wanted, sort=NEWEST_FIRST, limit=page.size + 1))
        return newest_page(records, page, read_job_record)

    def count_jobs(self) -> Mapping[JobState, int]:
        """See the port."""
        with self._database.calls() as collections:
            groups = list(collections.jobs.aggregate([{"$group": {"_id": "$state", "count": {"$sum": 1}}}]))
        return {JobState(group["_id"]): group["count"] for group in groups if group["_id"] in _STATES}

    def unfinished_jobs(self) -> tuple[Job, ...]:
        """See the port."""
        with self._database.calls() as collections:
            records = list(
                collections.jobs.find(
                    {"state": {"$in": ["pending", "running"]}},
                    sort=[("created_at", ASCENDING), ("_id", ASCENDING)],
                )
            )
        return read_sound(records, read_job_record, itemgetter("_id"))

    def delete_job(self, job_id: str) -> None:
        """See the port."""

        def delete(transaction: Transaction) -> None:
            collections, session = transaction.collections, transaction.session
            job = fetch_job(collections, job_id, session)
            if not job.state.is_terminal:
                raise FailedPrecondition(
                    f"Job {job_id} has not ended. Cancel it first.",
                    "JOB_NOT_ENDED",
                    {"job": f"jobs/{job_id}"},
                )
            # First of all the record over which changes of the job conflict.
            collections.jobs.delete_one({"_id": job_id}, session=session)
            collections.models.delete_many({"job_id": job_id}, session=session)
            collections.publications.delete_many({"job_id": job_id}, session=session)
            collections.claims.delete_many({"job_id": job_id}, session=session)
            collections.blocks.delete_many({"job_id": job_id}, session=session)
            transaction.changed_jobs.add(job_id)

        self._database.change(job_id, delete)

    def wait_for_change(self, job_id: str, revision: int, timeout_seconds: float) -> int:
        """See the port."""
        current = self._watch.wait(job_id, revision, timeout_seconds)
        if current is None:
            raise job_not_found(job_id)
        return current

    def changed_tasks(self, job_id: str, revision: int, limit: int) -> tuple[Task, ...]:
        """See the port."""
        with self._database.calls() as collections:
            while True:
                # Tasks changed together share a revision. A cut among them would lose the rest of them to a
                # caller that goes on from the last revision it saw.
                ids, last = _changed_ids(collections, job_id, revision, limit)
                if not ids:
                    return ()
                blocks = collections.blocks.find({"_id": {"$in": sorted({*map(block_id, ids)})}})
                changed = [
                    read_task(record)
                    for block in blocks
                    for record in block_tasks(block)
                    if revision < record["revision"] <= last
                ]
                if changed:
                    return tuple(sorted(changed, key=lambda task: (task.revision, task.key)))
                # All of them have changed again meanwhile, and are told at their new revision.
                revision = last


def _changed_ids(
    collections: Collections, job_id: str, revision: int, limit: int
) -> tuple[list[TaskKey], int]:
    """The earliest tasks, about `limit`, that changed above this revision, and the last revision of them.

    Where blocks move while they are read, the tasks changed meanwhile come later.
    """
    blocks = collections.blocks.find(
        {"job_id": job_id, "of_parts": False, "revision": {"$gte": revision + 1}},
        {"tasks.id": True, "tasks.revision": True},
        sort=[("revision", ASCENDING)],
    )
    changed = {
        record["id"]: record["revision"]
        for block in blocks
        for record in block_tasks(block, "revision")
        if record["revision"] > revision
    }
    last = max(heapq.nsmallest(limit, changed.values()), default=0)
    return [TaskKey.parse(id_) for id_, at in changed.items() if at <= last], last


def fetch_job(collections: Collections, job_id: str, session: ClientSession | None = None) -> Job:
    """The job, or NotFound."""
    record = collections.jobs.find_one({"_id": job_id}, session=session)
    if record is None:
        raise job_not_found(job_id)
    return read_job_record(record)


def _found(collections: Collections, wanted: Document, job_filter: JobFilter, limit: int) -> list[str]:
    """Ids of the newest jobs that the query of the filter finds.

    Asked here and not of the server, whose `$regex` knows neither "ß" nor composed letters: names alone
    travel for that.
    """
    named = collections.jobs.find(wanted, {"display_name": True}, sort=NEWEST_FIRST)
    with named:
        ids = (record["_id"] for record in named if job_filter.finds(record["_id"], record["display_name"]))
        return list(itertools.islice(ids, limit))


def _by_request(collections: Collections, job: Job, session: ClientSession | None = None) -> Job | None:
    if not job.request_id:
        return None
    record = collections.jobs.find_one({"owner": job.owner, "request_id": job.request_id}, session=session)
    return None if record is None else read_job_record(record)
