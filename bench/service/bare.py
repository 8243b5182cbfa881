"""The peer of blocks: what the server can do at most with a record for each task, and nothing around it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import Any

from pymongo import ASCENDING, IndexModel, MongoClient, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from services.backends.mongodb.records import task_record
from services.core.covariance import Covariance
from services.core.tasks import TaskKey

__all__ = ["Bare", "measure_bare"]

_MAJORITY = WriteConcern("majority", j=True)
_N = 1000
_BATCH = 250  # about as many as a bundle holds
_INDEXES = [
    IndexModel([(name, ASCENDING) for name in ("job_id", "experiment", "k", "covariance")], name="by_key"),
    IndexModel([("job_id", ASCENDING), ("revision", ASCENDING)], name="by_change"),
    IndexModel(
        [("attempt_id", ASCENDING), ("lease_until", ASCENDING)],
        name="by_attempt",
        partialFilterExpression={"state": "running"},
    ),
]
_RESULT = {
    "log_likelihood": -1.5,
    "bic": -2.5,
    "aic": -2.0,
    "n_parameters": 8,
    "n_iter": 5,
    "converged": True,
    "regularized": False,
    "counts": [30, 10],
    "start": 0,
    "diagnosis": "",
}


@dataclass(frozen=True, slots=True)
class Bare:
    """Documents per second by kind of statement, with the indexes that such a store needs.

    Attributes:
        tasks_per_second: one insert, one claim and one result each: no store that keeps a record for a
            task can do with less.
    """

    rates: Mapping[str, float]
    tasks_per_second: float


def measure_bare(client: MongoClient[dict[str, Any]]) -> Bare:
    """Insert, claim and finish task records in a database of its own, which is dropped afterwards."""
    database = client[f"bare_{uuid.uuid4().hex[:8]}"]
    try:
        tasks = database.get_collection("tasks", write_concern=_MAJORITY)
        tasks.create_indexes(_INDEXES)
        keys = [TaskKey("job", *key) for key in product(range(100), range(1, 11), Covariance)][:_N]
        now = datetime.now(UTC)

        def transact(body: Callable[[ClientSession], object]) -> None:
            with (
                client.start_session() as session,
                session.start_transaction(ReadConcern("snapshot"), _MAJORITY),
            ):
                body(session)

        def insert(session: ClientSession, batch: list[str]) -> None:
            tasks.insert_many(
                [_record(key) for key in keys if key.id in batch], ordered=False, session=session
            )

        def claim(session: ClientSession, batch: list[str]) -> None:
            update = {"state": "running", "attempt_id": "a", "lease_until": now, "revision": 2}
            tasks.update_many({"_id": {"$in": batch}}, {"$set": update}, session=session)

        def finish(session: ClientSession, batch: list[str]) -> None:
            update = {"state": "done", "lease_until": None, "result": _RESULT, "revision": 3}
            tasks.bulk_write([UpdateOne({"_id": each}, {"$set": update}) for each in batch], session=session)

        rates, seconds_per_task = {}, 0.0
        for what, write in (
            ("insert_many in a transaction", insert),
            ("update_many by _id in a transaction", claim),
            ("bulk_write of updates in a transaction", finish),
        ):
            began = time.perf_counter()
            for start in range(0, _N, _BATCH):
                batch = [key.id for key in keys[start : start + _BATCH]]
                transact(lambda session, write=write, batch=batch: write(session, batch))  # type: ignore[misc]
            seconds = (time.perf_counter() - began) / _N
            rates[f"{what}, documents/s"] = 1 / seconds
            seconds_per_task += seconds
        rates["these three for each task, tasks/s"] = 1 / seconds_per_task
        return Bare(rates, 1 / seconds_per_task)
    finally:
        client.drop_database(database.name)


def _record(key: TaskKey) -> dict[str, Any]:
    return {
        "_id": key.id,
        "job_id": key.job_id,
        "experiment": key.experiment,
        "k": key.k,
        "covariance": key.covariance.value,
        **task_record(key, 0, 1),
        "lease_until": None,
    }
