"""Claims: which attempt runs which tasks, and until when, apart from the tasks.

A lease is renewed many times while nothing changes that anybody sees. In the records of the tasks that would
write their blocks each time, and get in the way of whoever finishes others of them. A claim is written and
shortened in the transactions that change its tasks; where the two differ, the task is right.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pymongo.client_session import ClientSession

from services.backends.documents import Document
from services.backends.mongodb.database import Collections, Transaction
from services.core.tasks import TaskKey

__all__ = ["drop_claimed", "leases_of", "write_claim"]


def write_claim(
    transaction: Transaction, attempt_id: str, keys: Iterable[TaskKey], lease_until: datetime
) -> None:
    """Note that this attempt runs these tasks of one job."""
    ids = [key.id for key in keys]
    transaction.collections.claims.insert_one(
        {
            "job_id": TaskKey.parse(ids[0]).job_id,
            "attempt_id": attempt_id,
            "lease_until": lease_until,
            "tasks": ids,
        },
        session=transaction.session,
    )


def drop_claimed(transaction: Transaction, ids: Mapping[str, Sequence[str]]) -> None:
    """Take tasks, given by attempt, out of their claims; empty claims stay until their lease ends."""
    if ids:
        transaction.collections.claims.update_many(
            {"attempt_id": {"$in": list(ids)}},
            {"$pullAll": {"tasks": list(itertools.chain.from_iterable(ids.values()))}},
            session=transaction.session,
        )


def leases_of(
    collections: Collections, claims: Document, session: ClientSession | None = None
) -> dict[str, datetime]:
    """Until when each task of these claims is leased, by its id."""
    found = collections.claims.find(claims, session=session)
    return {id_: claim["lease_until"] for claim in found for id_ in claim["tasks"]}
