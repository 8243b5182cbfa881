"""What one owner has in MongoDB, and how two changes of it get out of each other's way."""

from __future__ import annotations

from operator import itemgetter

from pymongo.client_session import ClientSession

from services.backends.mongodb.database import Collections, Transaction
from services.backends.mongodb.records import read_job_record
from services.backends.sound import read_sound
from services.core.quotas import OwnerUsage
from services.core.tasks import TaskState

__all__ = ["hold_owner", "note_owner", "usage_of"]

_HAS_ENDED = {"$in": ["$$task.state", [state.value for state in TaskState if state.is_terminal]]}


def note_owner(collections: Collections, owner: str) -> None:
    """See to it that the owner has a record, before a transaction that holds it."""
    collections.owners.update_one({"_id": owner}, {"$setOnInsert": {"changes": 0}}, upsert=True)


def hold_owner(transaction: Transaction, owner: str) -> OwnerUsage:
    """What the owner has; of two transactions that hold the same owner, one begins anew.

    Without a record that both write, each would count without the other, and both would fit.
    """
    transaction.collections.owners.update_one(
        {"_id": owner}, {"$inc": {"changes": 1}}, session=transaction.session
    )
    return usage_of(transaction.collections, owner, transaction.session)


def usage_of(collections: Collections, owner: str, session: ClientSession | None = None) -> OwnerUsage:
    """Counted now."""
    unfinished = {"owner": owner, "state": {"$in": ["pending", "running"]}}
    # What cannot be read must not keep its owner from everything else.
    jobs = read_sound(
        list(collections.jobs.find(unfinished, session=session)), read_job_record, itemgetter("_id")
    )
    ended = collections.blocks.aggregate(
        [
            {"$match": {"job_id": {"$in": [job.id for job in jobs]}, "of_parts": False}},
            {
                "$project": {
                    "count": {"$size": {"$filter": {"input": "$tasks", "as": "task", "cond": _HAS_ENDED}}}
                }
            },
            {"$group": {"_id": None, "count": {"$sum": "$count"}}},
        ],
        session=session,
    )
    stored = collections.datasets.aggregate(
        [{"$match": {"owner": owner}}, {"$group": {"_id": None, "bytes": {"$sum": "$size_bytes"}}}],
        session=session,
    )
    n_ended = sum(int(group["count"]) for group in ended)
    return OwnerUsage(
        len(jobs),
        max(0, sum(job.spec.n_tasks for job in jobs) - n_ended),
        sum(int(group["bytes"]) for group in stored),
    )
