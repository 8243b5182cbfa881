"""Jobs: one analysis of one dataset each."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.core.covariance import Assignment, Covariance
from services.core.tasks import TaskCounts, TaskState

__all__ = [
    "MAX_EXPERIMENTS",
    "MAX_INIT",
    "MAX_ITER",
    "MAX_K",
    "Job",
    "JobEvent",
    "JobFilter",
    "JobSpec",
    "JobState",
    "state_when_all_ended",
]

MAX_K = 50
MAX_EXPERIMENTS = 100
MAX_INIT = 2048
MAX_ITER = 10_000


class JobState(StrEnum):
    """PENDING → RUNNING → SUCCEEDED | FAILED | CANCELLED; a retry leads back to RUNNING."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing is left to run."""
        return self not in {JobState.PENDING, JobState.RUNNING}


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a job computes. The same spec on the same bytes gives the same bits.

    Attributes:
        columns: names of the d columns to cluster on, in order.
        max_k: K runs from 1 to this, at most MAX_K.
        n_experiments: independent repetitions of each fit, at most MAX_EXPERIMENTS.
        n_init: starts per task, the best of which counts, at most MAX_INIT.
        scale: whether columns are brought to zero mean and unit population variance.
        seed: 0 to 2**63 - 1.
        max_iter: iterations per start at most.
    """

    dataset_id: str
    columns: tuple[str, ...]
    max_k: int = 10
    n_experiments: int = 10
    n_init: int = 10
    covariances: tuple[Covariance, ...] = tuple(Covariance)
    assignment: Assignment = Assignment.LIKELIHOOD
    scale: bool = True
    seed: int = 0
    max_iter: int = 300

    @property
    def n_tasks(self) -> int:
        """Tasks this job expands into."""
        return self.max_k * self.n_experiments * len(self.covariances)


@dataclass(frozen=True, slots=True)
class Job:
    """A job as stored.

    Attributes:
        row_count: rows complete in all chosen columns, the n of every fit.
        skipped_row_count: rows left out because a chosen column is missing there.
        revision: grows with every change of the job or one of its tasks.
        failure: why the job FAILED before its tasks could run, else "".
        request_id: the client's UUID that makes the creation idempotent, or "".
        traceparent: the trace of the call that made it, as W3C Trace Context writes it, or "". Kept with the
            job, so that what is published again belongs to the same trace.
    """

    id: str
    owner: str
    display_name: str
    spec: JobSpec
    row_count: int
    skipped_row_count: int
    created_at: datetime
    state: JobState = JobState.PENDING
    started_at: datetime | None = None
    ended_at: datetime | None = None
    revision: int = 1
    failure: str = ""
    request_id: str = ""
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Tells schedulers that something about this job changed; may be lost or repeated without harm."""

    job_id: str


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs a listing shows; None means any.

    Attributes:
        query: only jobs whose name or display name contains this, read literally and in any case.
    """

    owner: str | None = None
    states: tuple[JobState, ...] | None = None
    dataset_id: str | None = None
    query: str | None = None

    def finds(self, job_id: str, display_name: str) -> bool:
        """Whether the query is in `jobs/{id}` or in the display name.

        Stores ask this rather than their own search, so that all find the same: texts are compared by the
        caseless matching of Unicode (section 3.13, D145), in which "STRASSE" finds "Straße" and "É" finds
        "é" however it is composed.
        """
        if self.query is None:
            return True
        wanted = _folded(self.query)
        return wanted in f"jobs/{job_id}" or wanted in _folded(display_name)


def state_when_all_ended(counts: TaskCounts) -> JobState | None:
    """The state a RUNNING job closes in, or None while a task is left to run.

    SUCCEEDED when every task is DONE or DEGENERATE, FAILED when some task is in ERROR.
    """
    if counts.unfinished or not counts.total:
        return None
    if counts[TaskState.ERROR]:
        return JobState.FAILED
    if counts[TaskState.CANCELLED]:
        return JobState.CANCELLED
    return JobState.SUCCEEDED


def _folded(text: str) -> str:
    # Composed at the end: "cafe" is not in "café".
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
