"""Quotas: how much of the service one owner may take up at once. Pure; the stores count."""

from __future__ import annotations

from dataclasses import dataclass

from services.core.errors import LimitExceeded
from services.core.jobs import Job

__all__ = ["NO_LIMITS", "OwnerLimits", "OwnerUsage", "check_quota", "check_retry"]

# How soon it is worth asking again: jobs take a minute or so; room on the disk, somebody has to make.
_JOB_RETRY_SECONDS = 15
_DISK_RETRY_SECONDS = 300


@dataclass(frozen=True, slots=True)
class OwnerLimits:
    """What one owner may have at once; 0 means no limit.

    Attributes:
        jobs: PENDING and RUNNING jobs.
        tasks: tasks of those jobs that have not ended, planned or not.
        stored_bytes: bytes of all datasets, as they were uploaded.
    """

    jobs: int = 0
    tasks: int = 0
    stored_bytes: int = 0


NO_LIMITS = OwnerLimits()


@dataclass(frozen=True, slots=True)
class OwnerUsage:
    """What one owner has, counted as in `OwnerLimits`."""

    jobs: int
    tasks: int
    stored_bytes: int


def check_quota(
    limits: OwnerLimits,
    usage: OwnerUsage,
    owner: str,
    *,
    jobs: int = 0,
    tasks: int = 0,
    stored_bytes: int = 0,
) -> None:
    """Raise LimitExceeded when so much more would be too much for this owner.

    `TOO_MANY_JOBS`, `TOO_MANY_TASKS` or `TOO_MANY_BYTES`, with a time after which to ask again, unless what
    is asked for is too much by itself.
    """
    if jobs and limits.jobs and usage.jobs + jobs > limits.jobs:
        raise _exceeded(
            "TOO_MANY_JOBS",
            f"You have {usage.jobs} unfinished jobs, and may have {limits.jobs}. Wait until one has ended, "
            "or cancel one.",
            owner,
            limits.jobs,
            _JOB_RETRY_SECONDS,
        )
    if tasks and limits.tasks and usage.tasks + tasks > limits.tasks:
        alone = tasks > limits.tasks
        advice = (
            "Ask for fewer: a smaller max_k, fewer experiments or covariances."
            if alone
            else "Wait until some have ended, or cancel a job."
        )
        raise _exceeded(
            "TOO_MANY_TASKS",
            f"These are {tasks} tasks; you have {usage.tasks} unfinished ones, and may have {limits.tasks}. "
            f"{advice}",
            owner,
            limits.tasks,
            0 if alone else _JOB_RETRY_SECONDS,
        )
    if stored_bytes and limits.stored_bytes and usage.stored_bytes + stored_bytes > limits.stored_bytes:
        raise _exceeded(
            "TOO_MANY_BYTES",
            f"There is no room for {stored_bytes} bytes: your datasets have {usage.stored_bytes}, and may "
            f"have {limits.stored_bytes}. Delete datasets that are not needed any more.",
            owner,
            limits.stored_bytes,
            0 if stored_bytes > limits.stored_bytes else _DISK_RETRY_SECONDS,
        )


def check_retry(limits: OwnerLimits, usage: OwnerUsage, job: Job, tasks: int) -> None:
    """Raise LimitExceeded when these tasks of a job, and the job if it has ended, cannot run again now."""
    check_quota(limits, usage, job.owner, jobs=int(job.state.is_terminal), tasks=tasks)


def _exceeded(reason: str, sentence: str, owner: str, limit: int, retry_seconds: int) -> LimitExceeded:
    return LimitExceeded(
        sentence, reason, {"limit": str(limit)}, subject=f"owner:{owner}", retry_seconds=retry_seconds
    )
