"""Tasks: one fit of a job each; and the bundles that carry them to workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from services.core.covariance import Covariance
from services.core.models import FittedModel

__all__ = [
    "WHOLE",
    "Bundle",
    "Part",
    "Task",
    "TaskCounts",
    "TaskFilter",
    "TaskKey",
    "TaskOrder",
    "TaskOutcome",
    "TaskResult",
    "TaskState",
    "lost_too_often",
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
class Part:
    """Some of the starts of a task, `n_starts` of them from number `first_start` on."""

    first_start: int
    n_starts: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """Read `first_start+n_starts`; ValueError when it is not that."""
        first_start, n_starts = map(int, text.split("+"))
        if first_start < 0 or n_starts < 1:
            raise ValueError(f"{text} is no part: it begins at 0 or later and has at least one start.")
        return cls(first_start, n_starts)

    def __str__(self) -> str:
        return f"{self.first_start}+{self.n_starts}"


# In place of a part: all starts of a task, however many its job asks for. It comes before every part.
WHOLE = Part(0, 0)


@dataclass(frozen=True, slots=True, order=True)
class TaskKey:
    """What identifies a task: its job, experiment (from 0), number of clusters k and covariance.

    A task that is spread over workers has parts, which are run in its stead; the key of one names the
    task and the starts. Only workers, the scheduler and the stores ever see such keys.
    """

    job_id: str
    experiment: int
    k: int
    covariance: Covariance
    part: Part = WHOLE

    @property
    def id(self) -> str:
        """`job/experiment/k/covariance`, of a part with `@first_start+n_starts` behind it."""
        return f"{self.job_id}/{self.experiment}/{self.k}/{self.covariance}{self._suffix}"

    @property
    def short_id(self) -> str:
        """`experiment-k-covariance`, the last segment of the public name; of a part as in `id`."""
        return f"{self.experiment}-{self.k}-{self.covariance}{self._suffix}"

    @property
    def is_part(self) -> bool:
        """Whether this is a part, not a whole task."""
        return self.part != WHOLE

    @property
    def whole(self) -> TaskKey:
        """The key of the task that this is a part of; of a whole task, itself."""
        if self.part == WHOLE:
            return self
        return TaskKey(self.job_id, self.experiment, self.k, self.covariance)

    @property
    def _suffix(self) -> str:
        return "" if self.part == WHOLE else f"@{self.part}"

    @classmethod
    def parse(cls, task_id: str) -> TaskKey:
        """Read an `id`; ValueError when it is not one."""
        job_id, experiment, k, rest = task_id.split("/")
        return cls._read(job_id, experiment, k, rest)

    @classmethod
    def parse_short(cls, job_id: str, short_id: str) -> TaskKey:
        """Read a `short_id`; ValueError when it is not one."""
        experiment, k, rest = short_id.split("-", 2)
        return cls._read(job_id, experiment, k, rest)

    @classmethod
    def _read(cls, job_id: str, experiment: str, k: str, rest: str) -> TaskKey:
        covariance, at, part = rest.partition("@")
        return cls(job_id, int(experiment), int(k), Covariance(covariance), Part.parse(part) if at else WHOLE)


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
    """A task as stored, or a part of one.

    Attributes:
        revision: the job's revision at which this task last changed.
        attempts: how many times it was claimed; with parts, the part that was claimed most often.
        attempt_id: of the claim that runs it (RUNNING) or ended it; "" for a task with parts.
        lease_until: when a RUNNING task falls back to PENDING unless renewed; None with parts.
        seconds: compute time of the attempt that ended it; with parts, the sum over them.
        error: the reason of an ERROR, a sentence, else "".
    """

    key: TaskKey
    state: TaskState = TaskState.PENDING
    revision: int = 0
    attempts: int = 0
    attempt_id: str = ""
    lease_until: datetime | None = None
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
    """Tasks of one job that travel in one message, about one to two seconds of work.

    Attributes:
        published_at: when it was first given to the queue; None when not known.
        traceparent: the trace it belongs to, as W3C Trace Context writes it, or "".
        alone: its task may have ended a worker, so that nothing else runs beside it in one process.
    """

    job_id: str
    keys: tuple[TaskKey, ...]
    # How it travels, not what it is.
    published_at: datetime | None = field(default=None, compare=False)
    traceparent: str = field(default="", compare=False)
    alone: bool = field(default=False, compare=False)


def lost_too_often(losses: int) -> str:
    """The sentence of a task that is given up because its lease ended so many times."""
    return (
        f"Given up after its worker was lost {losses} times while running it: killed, perhaps for want of "
        "memory, or cut off. Look for the reason in the workers' logs, then retry the task."
    )
