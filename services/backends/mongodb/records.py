"""Values as documents and documents as values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from services.backends.documents import (
    Document,
    dataset_document,
    read_dataset,
    read_result,
    read_spec,
    spec_document,
)
from services.backends.sound import reading
from services.core.datasets import Dataset
from services.core.jobs import Job, JobState
from services.core.tasks import Task, TaskKey, TaskState

__all__ = [
    "NEW_TASK",
    "STANDING_FIELDS",
    "Standing",
    "block_tasks",
    "dataset_record",
    "job_record",
    "read_dataset_record",
    "read_job_record",
    "read_listed_dataset_record",
    "read_standing",
    "read_task",
    "read_task_key",
    "task_record",
    "to_millis",
]

# The projection that reads what there is to count of the tasks of a block.
STANDING_FIELDS: Mapping[str, Any] = {
    f"tasks.{field}": True for field in ("id", "revision", "state", "n_parts", "losses", "waiting_from")
}

# A task that nobody has claimed, and what a retry sets back to: all but what tells of earlier claims.
NEW_TASK: Mapping[str, Any] = {
    "state": TaskState.PENDING.value,
    "attempt_id": "",
    "ended_at": None,
    "seconds": 0.0,
    "losses": 0,
    "result": None,
    "error": "",
    "model": None,
}

_STATES = frozenset(state.value for state in TaskState)
# What the fields of a task's record have to be for the store to decide by them.
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "n_parts": int,
    "revision": int,
    "waiting_from": int,
    "attempts": int,
    "losses": int,
    "state": str,
    "attempt_id": str,
    "error": str,
    "result": (dict, type(None)),
    "model": (dict, type(None)),
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Standing(NamedTuple):
    """What there is to count of a task or a part.

    Attributes:
        is_whole: whether it counts as a task.
        is_runnable: whether it is published, claimed and finished itself: it has no parts.
        waiting_from: the revision at which it last became PENDING other than by being handed back.
    """

    revision: int
    state: TaskState
    is_whole: bool
    is_runnable: bool
    was_lost: bool
    waiting_from: int


def to_millis(time: datetime) -> int:
    """Milliseconds since 1970-01-01 UTC: what a BSON date holds."""
    return (time - _EPOCH) // _MILLISECOND


def dataset_record(dataset: Dataset) -> Document:
    """The document of a new dataset."""
    document = dataset_document(dataset)
    return {"_id": document.pop("id"), **document, "created_at": dataset.created_at, "jobs_made": 0}


def read_dataset_record(record: Mapping[str, Any]) -> Dataset:
    """Read what `dataset_record` made; DataLoss when it is damaged."""
    with reading(f"dataset {record.get('_id')}"):
        return read_dataset({**record, "id": record["_id"]}, record["created_at"])


def read_listed_dataset_record(record: Mapping[str, Any]) -> Dataset:
    """Read what `dataset_record` made and a listing left the correlation out of; DataLoss as above."""
    left_out = {"columns": (), "values": (), "row_count": 0}
    return read_dataset_record({**record, "correlation": left_out})


def job_record(job: Job) -> Document:
    """The document of a job."""
    return {
        "_id": job.id,
        "owner": job.owner,
        "display_name": job.display_name,
        "spec": spec_document(job.spec),
        "row_count": job.row_count,
        "skipped_row_count": job.skipped_row_count,
        "created_at": job.created_at,
        "state": job.state.value,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "revision": job.revision,
        "failure": job.failure,
        "request_id": job.request_id,
        "traceparent": job.traceparent,
    }


def read_job_record(record: Mapping[str, Any]) -> Job:
    """Read what `job_record` made; DataLoss when it is damaged."""
    with reading(f"job {record.get('_id')}"):
        return Job(
            id=record["_id"],
            owner=record["owner"],
            display_name=record["display_name"],
            spec=read_spec(record["spec"]),
            row_count=record["row_count"],
            skipped_row_count=record["skipped_row_count"],
            created_at=record["created_at"],
            state=JobState(record["state"]),
            started_at=record["started_at"],
            ended_at=record["ended_at"],
            revision=record["revision"],
            failure=record["failure"],
            request_id=record["request_id"],
            traceparent=record["traceparent"],
        )


def task_record(key: TaskKey, n_parts: int, revision: int) -> Document:
    """What a block holds of a new task, or of a part of one."""
    return {
        "id": key.id,
        "n_parts": n_parts,
        "revision": revision,
        "waiting_from": revision,
        "attempts": 0,
        "started_at": None,
        **NEW_TASK,
    }


def block_tasks(block: Mapping[str, Any], *fields: str) -> list[Document]:
    """The records of tasks that a block holds; DataLoss when one lacks something.

    Args:
        fields: those that were asked for beside the id; all of them when none is named.
    """
    with reading(f"block of tasks {block.get('_id')}"):
        records: list[Document] = block["tasks"]
        for record in records:
            if not isinstance(record["id"], str):
                raise TypeError("a task has no id")
    needed = fields or _TYPES
    for record in records:
        with reading(f"task {record['id']}"):
            for field in needed:
                if not isinstance(record[field], _TYPES[field]):
                    raise TypeError(f"{field} is {record[field]!r:.100}")
            if "state" in needed and record["state"] not in _STATES:
                raise ValueError(f"{record['state']!r:.100} is no state")
    return records


def read_task_key(record: Mapping[str, Any]) -> TaskKey:
    """The key of a task; DataLoss when it is damaged."""
    with reading(f"task {record.get('id')}"):
        return TaskKey.parse(record["id"])


def read_standing(record: Mapping[str, Any]) -> Standing:
    """Read the `STANDING_FIELDS` of a task; DataLoss when they are damaged."""
    with reading(f"task {record.get('id')}"):
        return Standing(
            int(record["revision"]),
            TaskState(record["state"]),
            "@" not in record["id"],
            record["n_parts"] == 0,
            record["losses"] > 0,
            int(record["waiting_from"]),
        )


def read_task(record: Mapping[str, Any], lease_until: datetime | None = None) -> Task:
    """Read the record of a task; DataLoss when it is damaged. Leases are kept with the claims."""
    key = read_task_key(record)
    with reading(f"task {key.id}"):
        result = record["result"]
        return Task(
            key=key,
            state=TaskState(record["state"]),
            revision=record["revision"],
            attempts=record["attempts"],
            attempt_id=record["attempt_id"],
            lease_until=lease_until,
            started_at=record["started_at"],
            ended_at=record["ended_at"],
            seconds=record["seconds"],
            result=None if result is None else read_result(result),
            error=record["error"],
        )
