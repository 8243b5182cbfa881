"""Enums as people write them: `full-untied`, `likelihood`, `succeeded`."""

from __future__ import annotations

from kmeans.v1 import job_pb2, task_pb2

__all__ = [
    "assignment_name",
    "assignment_value",
    "covariance_name",
    "covariance_value",
    "has_ended",
    "state_name",
]

_COVARIANCE = "COVARIANCE_"
_ASSIGNMENT = "ASSIGNMENT_"


def covariance_name(covariance: int) -> str:
    """`full-untied` of COVARIANCE_FULL_UNTIED."""
    return _plain(job_pb2.Covariance.Name(covariance), _COVARIANCE).replace("_", "-")


def covariance_value(name: str) -> str:
    """COVARIANCE_FULL_UNTIED of `full-untied`, as messages take it; ValueError says which exist."""
    known = {covariance_name(value): key for key, value in job_pb2.Covariance.items() if value}
    return _known(known, name, "covariance")


def assignment_name(assignment: int) -> str:
    """`likelihood` of ASSIGNMENT_LIKELIHOOD."""
    return _plain(job_pb2.Assignment.Name(assignment), _ASSIGNMENT)


def assignment_value(name: str) -> str:
    """ASSIGNMENT_LIKELIHOOD of `likelihood`, as messages take it; ValueError says which exist."""
    known = {assignment_name(value): key for key, value in job_pb2.Assignment.items() if value}
    return _known(known, name, "assignment")


def state_name(message: job_pb2.Job | task_pb2.Task) -> str:
    """State of a job or task in lower case: `running`, `succeeded`, `degenerate`."""
    if isinstance(message, job_pb2.Job):
        return _plain(job_pb2.JobState.Name(message.state), "JOB_STATE_")
    return _plain(task_pb2.TaskState.Name(message.state), "TASK_STATE_")


def has_ended(job: job_pb2.Job) -> bool:
    """Whether nothing of the job is left to run."""
    return job.state in {
        job_pb2.JOB_STATE_SUCCEEDED,
        job_pb2.JOB_STATE_FAILED,
        job_pb2.JOB_STATE_CANCELLED,
    }


def _plain(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


def _known(known: dict[str, str], name: str, what: str) -> str:
    value = known.get(name.strip().lower())
    if value is None:
        raise ValueError(f"There is no {what} '{name}'. Choose from {', '.join(known)}.")
    return value
