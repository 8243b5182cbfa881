"""Values as documents and documents as values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
from services.core.covariance import Covariance
from services.core.datasets import Dataset
from services.core.errors import DataLoss
from services.core.jobs import Job, JobState
from services.core.tasks import Part, Task, TaskKey, TaskState

__all__ = [
    "KEY_FIELDS",
    "NEW_TASK",
    "PARTS",
    "STANDING_FIELDS",
    "WHOLES",
    "WITHOUT_MODEL",
    "Standing",
    "dataset_record",
    "job_record",
    "read_dataset_record",
    "read_job_record",
    "read_key_record",
    "read_standing_record",
    "read_task_record",
    "task_record",
    "to_millis",
]

KEY_FIELDS = ("job_id", "experiment", "k", "covariance", "first_start", "n_starts")
# What users see of the tasks, and what is published, claimed and finished.
WHOLES: Mapping[str, Any] = {"n_starts": 0}
# The projection that reads tasks: a small model stands in the record of its task.
WITHOUT_MODEL: Mapping[str, Any] = {"model": False}
PARTS: Mapping[str, Any] = {"n_starts": {"$gt": 0}}
STANDING_FIELDS = ("revision", "state", "n_starts", "n_parts", "losses", "waiting_from")

# A task that nobody has claimed, and what a retry sets back to: all but what tells of earlier claims.
NEW_TASK: Mapping[str, Any] = {
    "state": TaskState.PENDING.value,
    "attempt_id": "",
    "lease_until": None,
    "published_at": None,  # read by older versions, which noted there what is in publications now
    "ended_at": None,
    "seconds": 0.0,
    "losses": 0,
    "bic": None,
    "result": None,
    "error": "",
    "model": None,
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
    with _reading(f"dataset {record.get('_id')}"):
        return read_dataset({**record, "id": record["_id"]}, record["created_at"])


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
    with _reading(f"job {record.get('_id')}"):
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
            # Not in the records of older versions.
            traceparent=record.get("traceparent", ""),
        )


def task_record(key: TaskKey, n_parts: int, revision: int) -> Document:
    """The document of a new task, or of a part of one."""
    return {
        "_id": key.id,
        "job_id": key.job_id,
        "experiment": key.experiment,
        "k": key.k,
        "covariance": key.covariance.value,
        "first_start": key.part.first_start,
        "n_starts": key.part.n_starts,
        "n_parts": n_parts,
        "revision": revision,
        "waiting_from": revision,
        "attempts": 0,
        "started_at": None,
        **NEW_TASK,
    }


def read_key_record(record: Mapping[str, Any]) -> TaskKey:
    """Read the `KEY_FIELDS` of a task; DataLoss when they are damaged."""
    with _reading(f"task {record.get('_id')}"):
        return TaskKey(
            record["job_id"],
            record["experiment"],
            record["k"],
            Covariance(record["covariance"]),
            Part(record["first_start"], record["n_starts"]),
        )


def read_standing_record(record: Mapping[str, Any]) -> Standing:
    """Read the `STANDING_FIELDS` of a task; DataLoss when they are damaged."""
    with _reading(f"task {record.get('_id')}"):
        return Standing(
            int(record["revision"]),
            TaskState(record["state"]),
            record["n_starts"] == 0,
            record["n_parts"] == 0,
            record["losses"] > 0,
            # Not in the records of older versions.
            int(record.get("waiting_from", 0)),
        )


def read_task_record(record: Mapping[str, Any]) -> Task:
    """Read the document of a task; DataLoss when it is damaged."""
    key = read_key_record(record)
    with _reading(f"task {key.id}"):
        result = record["result"]
        return Task(
            key=key,
            state=TaskState(record["state"]),
            revision=record["revision"],
            attempts=record["attempts"],
            attempt_id=record["attempt_id"],
            lease_until=record["lease_until"],
            started_at=record["started_at"],
            ended_at=record["ended_at"],
            seconds=record["seconds"],
            result=None if result is None else read_result(result),
            error=record["error"],
        )


@contextmanager
def _reading(what: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise DataLoss(
            f"The stored {what} cannot be read ({error}). Restore the job store from a backup.",
            "RECORD_DAMAGED",
        ) from error
