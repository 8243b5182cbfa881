"""Jobs and their specs."""

from __future__ import annotations

from typing import TypeVar

from kmeans.v1 import job_pb2

from services.core.covariance import Assignment, Covariance
from services.core.datasets import MAX_COLUMNS, Dataset, default_columns
from services.core.jobs import Job, JobSpec
from services.core.tasks import TaskCounts, TaskState
from services.gateway.errors import invalid_field
from services.gateway.messages.enums import ASSIGNMENTS, COVARIANCES, JOB_STATES
from services.gateway.names import dataset_name, job_name

__all__ = ["counts_message", "job_message", "read_spec", "spec_message"]

T = TypeVar("T")


def read_spec(message: job_pb2.JobSpec, dataset: Dataset) -> JobSpec:
    """A job's spec with every default filled in; its bounds are not checked yet.

    Raises:
        InvalidInput: an enum value this server does not know, or more columns than any dataset has.
    """
    if len(message.columns) > MAX_COLUMNS:
        raise invalid_field(
            "spec.columns", f"{len(message.columns)} columns are named; at most {MAX_COLUMNS} can be."
        )
    return JobSpec(
        dataset_id=dataset.id,
        columns=tuple(message.columns) or default_columns(dataset),
        max_k=_given(message, "max_k", message.max_k, 10),
        n_experiments=_given(message, "n_experiments", message.n_experiments, 10),
        n_init=_given(message, "n_init", message.n_init, 10),
        covariances=COVARIANCES.read_all(message.covariances, "spec.covariances") or tuple(Covariance),
        assignment=ASSIGNMENTS.read(message.assignment, "spec.assignment") or Assignment.LIKELIHOOD,
        scale=_given(message, "scale", message.scale, True),
        seed=_given(message, "seed", message.seed, 0),
        max_iter=_given(message, "max_iter", message.max_iter, 300),
    )


def spec_message(spec: JobSpec) -> job_pb2.JobSpec:
    """A spec with every field set."""
    return job_pb2.JobSpec(
        dataset=dataset_name(spec.dataset_id),
        columns=spec.columns,
        max_k=spec.max_k,
        n_experiments=spec.n_experiments,
        n_init=spec.n_init,
        covariances=[COVARIANCES.name(covariance) for covariance in spec.covariances],
        assignment=ASSIGNMENTS.name(spec.assignment),
        scale=spec.scale,
        seed=spec.seed,
        max_iter=spec.max_iter,
    )


def counts_message(counts: TaskCounts) -> job_pb2.TaskCounts:
    """Tasks by state."""
    return job_pb2.TaskCounts(
        pending=counts[TaskState.PENDING],
        running=counts[TaskState.RUNNING],
        done=counts[TaskState.DONE],
        degenerate=counts[TaskState.DEGENERATE],
        error=counts[TaskState.ERROR],
        cancelled=counts[TaskState.CANCELLED],
        total=counts.total,
    )


def job_message(job: Job, counts: TaskCounts) -> job_pb2.Job:
    """A job with its tasks counted; without a name while it has no id (it was only validated)."""
    return job_pb2.Job(
        name=job_name(job.id) if job.id else "",
        display_name=job.display_name,
        spec=spec_message(job.spec),
        state=JOB_STATES.name(job.state),
        task_counts=counts_message(counts),
        row_count=job.row_count,
        skipped_row_count=job.skipped_row_count,
        create_time=job.created_at,
        start_time=job.started_at,
        end_time=job.ended_at,
        revision=job.revision,
        failure=job.failure,
    )


def _given(message: job_pb2.JobSpec, field: str, value: T, default: T) -> T:
    return value if message.HasField(field) else default
