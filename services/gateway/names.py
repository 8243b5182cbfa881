"""Resource names: `datasets/{id}`, `jobs/{id}` and `jobs/{id}/tasks/{experiment}-{k}-{covariance}`."""

from __future__ import annotations

import re
import secrets
import uuid

from services.core.tasks import TaskKey
from services.gateway.errors import invalid_field

__all__ = [
    "dataset_name",
    "job_name",
    "new_id",
    "parse_dataset",
    "parse_job",
    "parse_job_or_task",
    "parse_request_id",
    "parse_task",
    "task_name",
]

_ID = r"[0-9a-z](?:[0-9a-z_-]{0,62}[0-9a-z])?"
_DATASET = re.compile(rf"datasets/({_ID})", re.ASCII)
_JOB = re.compile(rf"jobs/({_ID})", re.ASCII)
# Three digits are enough for every experiment and K there can be, and for any backend's integers.
_TASK = re.compile(rf"jobs/({_ID})/tasks/([0-9]{{1,3}}-[0-9]{{1,3}}-[a-z-]+)", re.ASCII)


def new_id() -> str:
    """A fresh id of a dataset or job: 64 random bits, 16 hexadecimal digits."""
    return secrets.token_hex(8)


def dataset_name(dataset_id: str) -> str:
    """`datasets/{id}`."""
    return f"datasets/{dataset_id}"


def job_name(job_id: str) -> str:
    """`jobs/{id}`."""
    return f"jobs/{job_id}"


def task_name(key: TaskKey) -> str:
    """`jobs/{id}/tasks/{experiment}-{k}-{covariance}`."""
    return f"{job_name(key.job_id)}/tasks/{key.short_id}"


def parse_dataset(name: str, field: str = "name") -> str:
    """The id in `datasets/{id}`; InvalidInput about `field` when it is not such a name."""
    match = _DATASET.fullmatch(name)
    if match is None:
        raise _bad_name(name, field, "a dataset", "datasets/{dataset}")
    return match[1]


def parse_job(name: str, field: str = "name") -> str:
    """The id in `jobs/{id}`; InvalidInput about `field` when it is not such a name."""
    match = _JOB.fullmatch(name)
    if match is None:
        raise _bad_name(name, field, "a job", "jobs/{job}")
    return match[1]


def parse_task(name: str, field: str = "name") -> TaskKey:
    """The key in `jobs/{id}/tasks/{task}`; InvalidInput about `field` when it is not such a name.

    Only the spelling the service itself writes is taken, so that a task has one name.
    """
    match = _TASK.fullmatch(name)
    if match is not None:
        try:
            key = TaskKey.parse_short(match[1], match[2])
        except ValueError:
            key = None
        if key is not None and key.short_id == match[2]:
            return key
    raise _bad_name(name, field, "a task", "jobs/{job}/tasks/{task}, e.g. 'jobs/a1/tasks/0-3-full-untied'")


def parse_job_or_task(name: str, field: str = "name") -> str | TaskKey:
    """The job id of `jobs/{id}`, or the key of a task's name."""
    return parse_task(name, field) if "/tasks/" in name else parse_job(name, field)


def parse_request_id(request_id: str, field: str = "request_id") -> str:
    """A UUID in its usual lower-case spelling, or "" when none is given; else InvalidInput."""
    if not request_id:
        return ""
    try:
        return str(uuid.UUID(request_id))
    except ValueError as error:
        raise invalid_field(
            field,
            f"{field} is not a UUID. Make one per request you may have to repeat, or leave it empty.",
            "BAD_REQUEST_ID",
        ) from error


def _bad_name(name: str, field: str, what: str, pattern: str) -> Exception:
    if not name:
        return invalid_field(field, f"{field} is empty; it names {what}, {pattern}.", "BAD_NAME")
    shown = name if len(name) <= 100 else f"{name[:100]}…"
    return invalid_field(field, f"{field} '{shown}' is not the name of {what}, {pattern}.", "BAD_NAME")
