"""What every job store says of something that is not there."""

from __future__ import annotations

from services.core.errors import NotFound
from services.core.tasks import TaskKey

__all__ = ["dataset_not_found", "job_not_found", "task_not_found"]


def dataset_not_found(dataset_id: str) -> NotFound:
    """The error for a dataset that is not there."""
    return NotFound(
        f"There is no dataset {dataset_id}.",
        "DATASET_NOT_FOUND",
        {"dataset": f"datasets/{dataset_id}"},
    )


def job_not_found(job_id: str) -> NotFound:
    """The error for a job that is not there."""
    return NotFound(f"There is no job {job_id}.", "JOB_NOT_FOUND", {"job": f"jobs/{job_id}"})


def task_not_found(key: TaskKey) -> NotFound:
    """The error for a task that is not there."""
    return NotFound(
        f"Job {key.job_id} has no task {key.short_id}.",
        "TASK_NOT_FOUND",
        {"task": f"jobs/{key.job_id}/tasks/{key.short_id}"},
    )
