"""Collections, their indexes, and the version of them that a database was made with.

| collection | `_id` | holds |
| --- | --- | --- |
| datasets | id | a dataset; `jobs_made` is raised by every job made of it |
| jobs | id | a job and its revision |
| blocks | job/experiment/number | tasks of one experiment for ten numbers of clusters; see `blocks` |
| | job/experiment/k/covariance | the parts of this task |
| claims | made up | which attempt runs which tasks, and until when |
| models | job/pack | small encoded models of tasks that were finished at once, by the ids of the tasks |
| | task/model id/number | one chunk of a large encoded model |
| publications | made up | tasks that were given to the queue at once, and when |
| leases | name | who holds a named lease, and until when |
| owners | owner | how often what an owner has was changed under a limit; see `usage` |
| writers | session | which process changes the store in this session; see `writers` |
| | process | how many signs of life it has shown |
| schema | "schema" | the version |

Times are BSON dates (whole milliseconds, as the service keeps them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument
from pymongo.database import Database as DriverDatabase

from services.backends.mongodb.writers import WRITER_SECONDS
from services.core.errors import FailedPrecondition, InvalidInput

__all__ = ["SCHEMA_VERSION", "prepare_schema"]

SCHEMA_VERSION = 2

_PUBLICATION_SECONDS = 7 * 24 * 3600
_NEWEST = [("created_at", DESCENDING), ("_id", DESCENDING)]
_BY_REQUEST = IndexModel(
    [("owner", ASCENDING), ("request_id", ASCENDING)],
    name="by_request",
    unique=True,
    partialFilterExpression={"request_id": {"$gt": ""}},
)
_INDEXES: Mapping[str, Sequence[IndexModel]] = {
    "datasets": [
        IndexModel(_NEWEST, name="by_time"),
        IndexModel([("owner", ASCENDING), *_NEWEST], name="by_owner"),
        _BY_REQUEST,
    ],
    "jobs": [
        IndexModel(_NEWEST, name="by_time"),
        IndexModel([("owner", ASCENDING), *_NEWEST], name="by_owner"),
        IndexModel([("spec.dataset_id", ASCENDING), *_NEWEST], name="by_dataset"),
        IndexModel([("state", ASCENDING), *_NEWEST], name="by_state"),
        _BY_REQUEST,
    ],
    "blocks": [
        IndexModel([("job_id", ASCENDING), ("experiment", ASCENDING), ("k", ASCENDING)], name="by_key"),
        IndexModel([("job_id", ASCENDING), ("revision", ASCENDING)], name="by_change"),
    ],
    "claims": [
        IndexModel([("attempt_id", ASCENDING)], name="by_attempt"),
        IndexModel([("job_id", ASCENDING)], name="by_job"),
        IndexModel([("lease_until", ASCENDING)], name="by_lease"),
    ],
    "models": [
        IndexModel([("job_id", ASCENDING), ("task_id", ASCENDING), ("model_id", ASCENDING)], name="by_task"),
    ],
    "publications": [
        IndexModel([("job_id", ASCENDING)], name="by_job"),
        # What was published so long ago counts as lost anyway. By the server's clock alone: by a scheduler's
        # time (`at`) what a slow clock has only just published would be forgotten.
        IndexModel([("noted_at", ASCENDING)], name="forgotten", expireAfterSeconds=_PUBLICATION_SECONDS),
    ],
    "leases": [],
    "owners": [],
    "writers": [IndexModel([("noted_at", ASCENDING)], name="old", expireAfterSeconds=WRITER_SECONDS)],
}


def prepare_schema(database: DriverDatabase[dict[str, Any]], where: str) -> None:
    """Make what is missing of the collections, unless the database is not ours to use.

    Any number of processes may do so at once. Raises FailedPrecondition (`STORE_TOO_NEW`, `STORE_TOO_OLD`)
    for a database of another version, FailedPrecondition (`STORE_NEEDS_REPLICA_SET`) for a server without
    transactions, and InvalidInput (`NOT_A_STORE`) for a database of another program.
    """
    hello = database.client.admin.command("hello")
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise FailedPrecondition(
            f"{where} is a standalone server, which has no transactions. Start mongod with "
            "--replSet and run rs.initiate() once; a replica set may have a single member.",
            "STORE_NEEDS_REPLICA_SET",
        )
    # Listed before the version is looked for: it is written before the first collection is made.
    taken = set(database.list_collection_names()) & set(_INDEXES)
    schema = database["schema"]
    made = schema.find_one({"_id": "schema"})
    if made is None:
        if taken:
            raise InvalidInput(
                f"{where} holds collections of another program ({', '.join(sorted(taken))}). "
                "Name another database for the job store.",
                "NOT_A_STORE",
            )
        made = schema.find_one_and_update(
            {"_id": "schema"},
            {"$setOnInsert": {"version": SCHEMA_VERSION}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
    version = SCHEMA_VERSION if made is None else made.get("version", 0)
    if version < SCHEMA_VERSION:
        raise FailedPrecondition(
            f"{where} has schema version {version}, of an earlier program; this one needs {SCHEMA_VERSION}. "
            "Name another database, or drop this one if nothing in it is needed.",
            "STORE_TOO_OLD",
        )
    if version > SCHEMA_VERSION:
        raise FailedPrecondition(
            f"{where} has schema version {version}; this program knows up to "
            f"{SCHEMA_VERSION}. Use the newer program, or another database.",
            "STORE_TOO_NEW",
        )
    for name, indexes in _INDEXES.items():
        if indexes:
            database[name].create_indexes(list(indexes))
