"""A `request_id` that was used before: the same request again gets what it made, another one is refused."""

from __future__ import annotations

from services.core.datasets import Dataset
from services.core.errors import Conflict
from services.core.jobs import Job

__all__ = ["same_dataset", "same_job"]


def same_dataset(made: Dataset, wanted: Dataset) -> Dataset:
    """What was made under the request_id of `wanted`; Conflict when that was another upload."""
    if (made.sha256, made.display_name) != (wanted.sha256, wanted.display_name):
        raise Conflict(
            f"request_id {wanted.request_id} was used before, for another upload: dataset {made.id}. "
            "Use a new request_id for a new upload.",
            metadata={"dataset": f"datasets/{made.id}"},
        )
    return made


def same_job(made: Job, wanted: Job) -> Job:
    """What was made under the request_id of `wanted`; Conflict when that was another analysis."""
    if (made.spec, made.display_name) != (wanted.spec, wanted.display_name):
        raise Conflict(
            f"request_id {wanted.request_id} was used before, for another analysis: job {made.id}. "
            "Use a new request_id for a new job.",
            metadata={"job": f"jobs/{made.id}"},
        )
    return made
