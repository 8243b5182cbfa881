"""Rows as values and values as rows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from services.backends.documents import (
    dataset_document,
    read_dataset,
    read_result,
    read_spec,
    result_document,
    spec_document,
)
from services.backends.sound import reading
from services.backends.sqlite.database import Row
from services.core.covariance import Covariance
from services.core.datasets import Dataset
from services.core.jobs import Job, JobState
from services.core.tasks import Part, Task, TaskKey, TaskResult, TaskState

__all__ = [
    "DATASET_COLUMNS",
    "JOB_COLUMNS",
    "KEY_COLUMNS",
    "RUNNABLE",
    "TASK_COLUMNS",
    "WHOLES",
    "dataset_row",
    "from_micros",
    "job_row",
    "key_row",
    "micros_or_none",
    "read_dataset_row",
    "read_job_row",
    "read_key_row",
    "read_task_row",
    "result_text",
    "to_micros",
]

DATASET_COLUMNS = "id, owner, request_id, created_at, document"
JOB_COLUMNS = (
    "id, owner, display_name, spec, row_count, skipped_row_count, created_at, state, started_at, "
    "ended_at, revision, failure, request_id, dataset_id, traceparent"
)
KEY_COLUMNS = "job_id, experiment, k, covariance, first_start, n_starts"
TASK_COLUMNS = (
    f"{KEY_COLUMNS}, state, revision, attempts, attempt_id, lease_until, started_at, "
    "ended_at, seconds, result, error"
)

# What users see of the tasks, and what is published, claimed and finished.
WHOLES = "n_starts = 0"
RUNNABLE = "n_parts = 0"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(time: datetime) -> int:
    """Microseconds since 1970-01-01 UTC, exactly."""
    return (time - _EPOCH) // _MICROSECOND


def micros_or_none(time: datetime | None) -> int | None:
    """`to_micros`, of nothing nothing."""
    return None if time is None else to_micros(time)


def from_micros(micros: int) -> datetime:
    """Undo `to_micros`."""
    return _EPOCH + timedelta(microseconds=micros)


def dataset_row(dataset: Dataset) -> Row:
    """Values of `DATASET_COLUMNS`."""
    return (
        dataset.id,
        dataset.owner,
        dataset.request_id,
        to_micros(dataset.created_at),
        json.dumps(dataset_document(dataset)),
    )


def read_dataset_row(row: Row) -> Dataset:
    """Read `DATASET_COLUMNS`; DataLoss when the document is damaged."""
    id_, _owner, _request_id, created_at, document = row
    with reading(f"dataset {id_}"):
        return read_dataset(json.loads(document), from_micros(created_at))


def job_row(job: Job) -> Row:
    """Values of `JOB_COLUMNS`."""
    return (
        job.id,
        job.owner,
        job.display_name,
        json.dumps(spec_document(job.spec)),
        job.row_count,
        job.skipped_row_count,
        to_micros(job.created_at),
        job.state.value,
        micros_or_none(job.started_at),
        micros_or_none(job.ended_at),
        job.revision,
        job.failure,
        job.request_id,
        job.spec.dataset_id,
        job.traceparent,
    )


def read_job_row(row: Row) -> Job:
    """Read `JOB_COLUMNS`; DataLoss when the row is damaged."""
    (id_, owner, display_name, spec, row_count, skipped_row_count, created_at, state) = row[:8]
    (started_at, ended_at, revision, failure, request_id, _dataset_id, traceparent) = row[8:]
    with reading(f"job {id_}"):
        return Job(
            id=id_,
            owner=owner,
            display_name=display_name,
            spec=read_spec(json.loads(spec)),
            row_count=row_count,
            skipped_row_count=skipped_row_count,
            created_at=from_micros(created_at),
            state=JobState(state),
            started_at=_from_micros_or_none(started_at),
            ended_at=_from_micros_or_none(ended_at),
            revision=revision,
            failure=failure,
            request_id=request_id,
            traceparent=traceparent,
        )


def key_row(key: TaskKey) -> Row:
    """Values of `KEY_COLUMNS`."""
    return (
        key.job_id,
        key.experiment,
        key.k,
        key.covariance.value,
        key.part.first_start,
        key.part.n_starts,
    )


def read_key_row(row: Row) -> TaskKey:
    """Read `KEY_COLUMNS`; DataLoss when the row is damaged."""
    job_id, experiment, k, covariance, first_start, n_starts = row
    with reading(f"task of job {job_id}"):
        return TaskKey(job_id, experiment, k, Covariance(covariance), Part(first_start, n_starts))


def read_task_row(row: Row) -> Task:
    """Read `TASK_COLUMNS`; DataLoss when the row is damaged."""
    (state, revision, attempts, attempt_id, lease_until, started_at) = row[6:12]
    (ended_at, seconds, result, error) = row[12:]
    key = read_key_row(row[:6])
    with reading(f"task {key.id}"):
        return Task(
            key=key,
            state=TaskState(state),
            revision=revision,
            attempts=attempts,
            attempt_id=attempt_id,
            lease_until=_from_micros_or_none(lease_until),
            started_at=_from_micros_or_none(started_at),
            ended_at=_from_micros_or_none(ended_at),
            seconds=seconds,
            result=None if result is None else read_result(json.loads(result)),
            error=error,
        )


def result_text(result: TaskResult | None) -> str | None:
    """What the column `result` holds."""
    return None if result is None else json.dumps(result_document(result))


def _from_micros_or_none(micros: Any) -> datetime | None:
    return None if micros is None else from_micros(micros)
