"""Tasks: one fit of a job each; and the bundles that carry them to workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from services.core.covariance import Covariance
from services.core.models import FittedModel

__all__ = [
    "Bundle",
    "Task",
    "TaskCounts",
    "TaskFilter",
    "TaskKey",
    "TaskOrder",
    "TaskOutcome",
    "TaskResult",
    "TaskState",
]


class TaskState(StrEnum):
    """PENDING → RUNNING → DONE | DEGENERATE | ERROR | CANCELLED; a lost lease falls back to PENDING."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    DEGENERATE = "degenerate"
    ERROR = "error"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing is left to run."""
        return self not in {TaskState.PENDING, TaskState.RUNNING}


@dataclass(frozen=True, slots=True, order=True)
class TaskKey:
    """What identifies a task: its job, experiment (from 0), number of clusters k and covariance."""

    job_id: str
    experiment: int
    k: int
    covariance: Covariance

    @property
    def id(self) -> str:
        """`job/experiment/k/covariance`: the primary key in every store."""
        return f"{self.job_id}/{self.experiment}/{self.k}/{self.covariance}"

    @property
    def short_id(self) -> str:
        """`experiment-k-covariance`: the last segment of the public name."""
        return f"{self.experiment}-{self.k}-{self.covariance}"

    @classmethod
    def parse(cls, task_id: str) -> TaskKey:
        """Read `job/experiment/k/covariance`; ValueError when it is not one."""
        job_id, experiment, k, covariance = task_id.split("/")
        return cls(job_id, int(experiment), int(k), Covariance(covariance))

    @classmethod
    def parse_short(cls, job_id: str, short_id: str) -> TaskKey:
        """Read `experiment-k-covariance`; ValueError when it is not one."""
        experiment, k, covariance = short_id.split("-", 2)
        return cls(job_id, int(experiment), int(k), Covariance(covariance))


@dataclass(frozen=True, slots=True)
class TaskResult:
    """Scores of a finished fit (natural logarithms; higher is better).

    Attributes:
        counts: members per cluster, cluster 0 the largest.
        start: which of the `n_init` starts won, from 0.
        n_parameters: free parameters p.
        n_iter: iterations of the winning start.
        regularized: whether the eigenvalue floor acted.
        diagnosis: why the fit is degenerate, else "".
    """

    log_likelihood: float
    bic: float
    aic: float
    n_parameters: int
    n_iter: int
    converged: bool
    regularized: bool
    counts: tuple[int, ...]
    start: int
    diagnosis: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """A task as stored.

    Attributes:
        revision: the job's revision at which this task last changed.
        attempts: how many times it was claimed.
        attempt_id: of the claim that runs it (RUNNING) or ended it.
        lease_until: when a RUNNING task falls back to PENDING unless renewed.
        published_at: when a bundle with it was last confirmed by the queue.
        seconds: compute time of the attempt that ended it.
        error: the reason of an ERROR, a sentence, else "".
    """

    key: TaskKey
    state: TaskState = TaskState.PENDING
    revision: int = 0
    attempts: int = 0
    attempt_id: str = ""
    lease_until: datetime | None = None
    published_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    seconds: float = 0.0
    result: TaskResult | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """What an attempt has to tell the store about one task.

    `state` is DONE or DEGENERATE with `result` and `model`, or ERROR with `error`.
    """

    key: TaskKey
    state: TaskState
    seconds: float
    result: TaskResult | None = None
    model: FittedModel | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """How many tasks of a job are in each state; always counted from the tasks themselves."""

    by_state: Mapping[TaskState, int] = field(default_factory=dict)

    def __getitem__(self, state: TaskState) -> int:
        """Tasks in this state."""
        return self.by_state.get(state, 0)

    @property
    def total(self) -> int:
        """All tasks."""
        return sum(self.by_state.values())

    @property
    def unfinished(self) -> int:
        """Tasks still to run or running."""
        return self[TaskState.PENDING] + self[TaskState.RUNNING]


class TaskOrder(StrEnum):
    """Orders of a task listing; ties and the rest by (experiment, k, covariance)."""

    KEY = "key"
    BIC_DESCENDING = "bic desc"


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks of a job a listing shows; None means any."""

    states: tuple[TaskState, ...] | None = None
    covariances: tuple[Covariance, ...] | None = None
    k: int | None = None
    experiment: int | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """Tasks of one job that travel in one message, about one to two seconds of work."""

    job_id: str
    keys: tuple[TaskKey, ...]
