"""Claims: which attempt runs which tasks, and until when, apart from the tasks.

A lease is renewed many times while nothing changes that anybody sees. In the records of the tasks that would
write their blocks each time, and get in the way of whoever finishes others of them. A claim is written and
shortened in the transactions that change its tasks; where the two differ, the task is right.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pymongo.client_session import ClientSession

from services.backends.documents import Document
from services.backends.mongodb.database import Collections, Transaction
from services.backends.sound import reading
from services.core.tasks import TaskKey

__all__ = ["Hold", "drop_claimed", "leases_of", "read_claim", "write_claim"]


class Hold(NamedTuple):
    """That an attempt runs a task."""

    attempt_id: str
    task_id: str


def write_claim(
    transaction: Transaction, job_id: str, attempt_id: str, keys: Iterable[TaskKey], lease_until: datetime
) -> None:
    """Note that this attempt runs these tasks of the job."""
    transaction.collections.claims.insert_one(
        {
            "job_id": job_id,
            "attempt_id": attempt_id,
            "lease_until": lease_until,
            "tasks": [key.id for key in keys],
        },
        session=transaction.session,
    )


def read_claim(claim: Mapping[str, Any]) -> dict[Hold, datetime]:
    """What it holds, each until when; DataLoss when it is damaged."""
    with reading(f"claim {claim.get('_id')}"):
        attempt_id, lease_until = str(claim["attempt_id"]), claim["lease_until"]
        if not isinstance(lease_until, datetime):
            raise TypeError("its lease has no end")
        return {Hold(attempt_id, TaskKey.parse(id_).id): lease_until for id_ in claim["tasks"]}


def drop_claimed(transaction: Transaction, ids: Mapping[str, Sequence[str]]) -> None:
    """Take tasks, given by attempt, out of their claims; empty claims stay until their lease ends."""
    if ids:
        transaction.collections.claims.update_many(
            {"attempt_id": {"$in": list(ids)}},
            {"$pullAll": {"tasks": list(itertools.chain.from_iterable(ids.values()))}},
            session=transaction.session,
        )


def leases_of(
    collections: Collections, wanted: Document, session: ClientSession | None = None
) -> dict[Hold, datetime]:
    """All that the claims hold for which this condition holds."""
    leases: dict[Hold, datetime] = {}
    for claim in collections.claims.find(wanted, session=session):
        leases |= read_claim(claim)
    return leases
