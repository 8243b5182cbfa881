"""Submission: what changes a job from outside. The store decides; the event only wakes a scheduler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog
from kmeans.v1 import job_service_pb2

from services.core.clock import Clock
from services.core.datasets import Dataset
from services.core.errors import FailedPrecondition, QueueUnavailable
from services.core.jobs import Job, JobEvent, JobState
from services.core.planning import estimate_job_seconds
from services.core.ports import ObjectStore, Store, TaskQueue
from services.core.quotas import NO_LIMITS, OwnerLimits, check_quota
from services.core.tasks import TaskKey, TaskState
from services.core.validation import check_display_name, check_selection, check_spec
from services.gateway.messages import read_spec
from services.gateway.names import job_name, new_id, parse_request_id
from services.gateway.reads import Reads
from services.gateway.stored_tables import open_table
from services.tables import profile_selection

__all__ = ["PlannedJob", "Submission"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """A job that passed every check and is not kept yet: it has no id."""

    job: Job
    estimated_core_seconds: float


class Submission:
    """Accepts, cancels and retries jobs."""

    def __init__(
        self,
        store: Store,
        queue: TaskQueue,
        objects: ObjectStore,
        clock: Clock,
        limits: OwnerLimits = NO_LIMITS,
        max_cells: int = 0,
        *,
        reads: Reads,
    ) -> None:
        """Keep jobs in the store, within the limits of their owners, and announce them on the queue.

        A job of more than `max_cells` cells is refused, unless that is 0. What is looked up in a table takes
        its turn in `reads`.
        """
        self._store = store
        self._queue = queue
        self._objects = objects
        self._clock = clock
        self._limits = limits
        self._max_cells = max_cells
        self._reads = reads

    def plan(
        self,
        owner: str,
        request: job_service_pb2.CreateJobRequest,
        dataset: Dataset,
        check_still_wanted: Callable[[], None],
    ) -> PlannedJob:
        """Check a request against its dataset and fill in every default.

        Args:
            owner: whose job it becomes.
            request: what is asked.
            dataset: the owner's, which the request names.
            check_still_wanted: called while the table is read, and ends that by raising.

        Raises:
            InvalidInput: with one violation per wrong field.
            DataLoss: the dataset's table is missing or damaged.
        """
        display_name = check_display_name(request.display_name.strip() or dataset.display_name)
        request_id = parse_request_id(request.request_id)
        spec = read_spec(request.spec, dataset)
        check_spec(spec, dataset)
        with open_table(self._objects, dataset.id) as source:
            turn = self._reads.turns(check_still_wanted)
            selection = profile_selection(source, spec.columns, turn=turn)
        check_selection(spec, selection, max_cells=self._max_cells, named=bool(request.spec.columns))
        n = selection.complete_row_count
        job = Job(
            id="",
            owner=owner,
            display_name=display_name,
            spec=spec,
            row_count=n,
            skipped_row_count=selection.row_count - n,
            created_at=self._clock(),
            request_id=request_id,
        )
        return PlannedJob(job, estimate_job_seconds(spec, n))

    def check(self, planned: PlannedJob) -> None:
        """Raise what `accept` would raise now, which looks once more.

        Raises:
            Conflict: the request_id was used for a job with another spec or display_name.
            LimitExceeded: the owner has as many jobs or tasks as it may. A job that was made before is one of
                them already.
        """
        if self._store.job_made_before(planned.job) is None and self._limits != NO_LIMITS:
            usage = self._store.owner_usage(planned.job.owner)
            check_quota(self._limits, usage, planned.job.owner, jobs=1, tasks=planned.job.spec.n_tasks)

    def accept(self, planned: PlannedJob) -> Job:
        """Keep a job for good; with a request_id the owner used before, return the job made then.

        Raises:
            Conflict: that one has another spec or display_name.
            NotFound: the dataset was deleted meanwhile.
            LimitExceeded: the owner has as many jobs or tasks as it may.
        """
        wanted = replace(planned.job, id=new_id())
        job = self._store.insert_job(wanted, self._limits)
        _log.info(
            "job accepted" if job.id == wanted.id else "job accepted before",
            job_id=job.id,
            dataset_id=job.spec.dataset_id,
            tasks=job.spec.n_tasks,
        )
        self._announce(job)
        return job

    def cancel(self, job: Job) -> Job:
        """Stop a job; no change when it has ended already."""
        cancelled = self._store.cancel_job(job.id, self._clock())
        _log.info("job cancelled", job_id=job.id, state=cancelled.state.value)
        self._announce(cancelled)
        return cancelled

    def retry(self, job: Job, keys: Sequence[TaskKey], states: Sequence[TaskState]) -> Job:
        """Run these tasks again, and those in these states; without either, what failed or was cancelled.

        Tasks that were cancelled count for a job that was stopped as a whole, so that it can go on. A job
        that failed before its tasks were planned is planned again.

        Raises:
            FailedPrecondition: that is no task (`NOTHING_TO_RETRY`).
            NotFound: a named one does not exist; then nothing changes.
            LimitExceeded: the owner has as many jobs or tasks as it may.
        """
        tasks = {task.key: task.state for task in self._store.all_tasks(job.id)}
        if not tasks and job.state is JobState.FAILED and not keys:
            chosen = None
        else:
            wanted = states or (() if keys else _states_to_retry(job))
            chosen = tuple(dict.fromkeys((*keys, *(key for key in sorted(tasks) if tasks[key] in wanted))))
            if all(key in tasks and not tasks[key].is_terminal for key in chosen):
                raise _nothing_to_retry(job, tasks, named=bool(keys), states=wanted)
        retried = self._store.retry_tasks(job.id, chosen, self._clock(), self._limits)
        _log.info("job retried", job_id=job.id, state=retried.state.value)
        self._announce(retried)
        return retried

    def _announce(self, job: Job) -> None:
        try:
            self._queue.publish_event(JobEvent(job.id))
        except QueueUnavailable as error:
            # The store has it, and the scheduler's sweep looks there: later, but never lost.
            _log.warning("job event not published", job_id=job.id, reason=error.reason)


def _states_to_retry(job: Job) -> tuple[TaskState, ...]:
    if job.state is JobState.CANCELLED or job.failure:
        return (TaskState.ERROR, TaskState.CANCELLED)
    return (TaskState.ERROR,)


def _nothing_to_retry(
    job: Job, tasks: Mapping[TaskKey, TaskState], *, named: bool, states: Sequence[TaskState]
) -> FailedPrecondition:
    name = job_name(job.id)
    if not tasks and job.state is JobState.CANCELLED:
        sentence = f"'{name}' was cancelled before its tasks were planned. Create the job again."
    elif not tasks:
        sentence = f"The tasks of '{name}' are not planned yet; they will run."
    elif named:
        sentence = f"The named tasks of '{name}' have not ended; they will run."
    else:
        wanted = " or ".join(state.name for state in states)
        sentence = f"'{name}' is {job.state.name} and has no task in {wanted}. Name tasks to run them again."
    return FailedPrecondition(sentence, "NOTHING_TO_RETRY", {"job": name})
