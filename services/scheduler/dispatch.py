"""Dispatch: bring one job forward by one turn. Expand it, top up its publish window, or close it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

import structlog

from services.core.clock import Clock
from services.core.errors import NotFound, Unavailable
from services.core.jobs import Job, JobState
from services.core.planning import MAX_BUNDLE_TASKS, plan_parts
from services.core.ports import Store, TaskQueue
from services.core.settings import Settings
from services.core.tasks import TaskCounts
from services.scheduler.window import (
    JobCosts,
    choose_bundles,
    free_bundles,
    is_crowded,
    job_costs,
    lost_before,
    turn_bundles,
)

__all__ = ["Dispatcher", "Turn"]

# Long enough for a slow confirm; after a crash in the middle of publishing the job waits this long.
_PUBLISH_LEASE_SECONDS = 15.0
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Turn(Enum):
    """How a job's turn ended."""

    SETTLED = auto()  # nothing to do until the next event
    MORE = auto()  # there is room for more bundles
    HELD = auto()  # another scheduler is publishing for this job


class Dispatcher:
    """Gives jobs their turns. What it decides on is read from the store and the queue at that moment.

    But for one thing: how many jobs there are, which share the queue, is how many had a turn lately.
    """

    def __init__(
        self,
        store: Store,
        queue: TaskQueue,
        settings: Settings,
        *,
        clock: Clock,
        holder_id: str,
    ) -> None:
        self._store = store
        self._queue = queue
        self._settings = settings
        self._clock = clock
        self._holder_id = holder_id
        self._queue_started_at = None if queue.is_shared else clock()
        self._seen: dict[str, datetime] = {}
        self._logger = structlog.get_logger("scheduler")

    def advance(self, job_id: str) -> Turn:
        """Give one job a turn. Idempotent: may be repeated, and run by several schedulers at once.

        Raises:
            StoreUnavailable, QueueUnavailable: the turn is to be repeated later.
        """
        try:
            job = self._store.get_job(job_id)
            if job.state is JobState.PENDING:
                job = self._expand(job)
            if job.state is not JobState.RUNNING:
                return Turn.SETTLED
            return self._top_up(job)
        except NotFound:
            self._logger.debug("job is gone", job_id=job_id)
            return Turn.SETTLED

    def _expand(self, job: Job) -> Job:
        keys = tuple(plan_parts(job, self._settings.part_seconds))
        if not keys:
            job = self._store.fail_job(
                job.id, "The job has no task: its spec names no covariance or no K.", self._clock()
            )
            self._logger.error("job failed", job_id=job.id, failure=job.failure)
            return job
        job = self._store.start_job(job.id, keys, self._clock())
        if job.state is JobState.RUNNING:
            self._logger.info(
                "job started",
                job_id=job.id,
                tasks=job.spec.n_tasks,
                parts=sum(key.is_part for key in keys),
            )
        return job

    def _top_up(self, job: Job) -> Turn:
        counts = self._store.count_tasks(job.id)
        if counts.total < job.spec.n_tasks:
            # Its expansion was cut short, in a store that cannot insert all tasks at once.
            self._expand(job)
            counts = self._store.count_tasks(job.id)
        if not counts.unfinished:
            return self._close(job)
        slots = self._queue.slots()
        cutoff = self._lost_before(job, slots)
        # A look without the lease first: most events of a busy job find its window full.
        if not self._free(job, counts, slots, cutoff):
            return Turn.SETTLED
        lease = f"publish:{job.id}"
        now = self._clock()
        until = now + timedelta(seconds=_PUBLISH_LEASE_SECONDS)
        if not self._store.acquire_lease(lease, self._holder_id, until, now):
            return Turn.HELD
        try:
            return self._publish(job, counts, slots, cutoff)
        finally:
            self._release(lease)

    def _free(self, job: Job, counts: TaskCounts, slots: int, cutoff: datetime) -> int:
        return free_bundles(
            self._costs(job),
            slots=slots,
            ended=counts.total - counts.unfinished,
            outstanding=self._store.count_outstanding(job.id, cutoff),
        )

    def _publish(self, job: Job, counts: TaskCounts, slots: int, cutoff: datetime) -> Turn:
        # Again, for what another scheduler published meanwhile; what has ended only guides the estimate.
        free = self._free(job, counts, slots, cutoff)
        count = turn_bundles(free, slots)
        if not count:
            return Turn.SETTLED
        keys = self._store.unpublished_tasks(job.id, cutoff, count * MAX_BUNDLE_TASKS)
        bundles = choose_bundles(self._costs(job), keys, count, frozenset(self._store.suspect_tasks(job.id)))
        if not bundles:
            return Turn.SETTLED
        now = self._clock()
        bundles = tuple(replace(each, published_at=now, traceparent=job.traceparent) for each in bundles)
        # Published first, noted after: a crash in between publishes twice, and claims make that harmless.
        # The other way round it would lose bundles until they count as lost.
        self._queue.publish_bundles(bundles)
        published = tuple(key for bundle in bundles for key in bundle.keys)
        self._store.mark_published(published, self._clock())
        self._logger.debug("bundles published", job_id=job.id, bundles=len(bundles), tasks=len(published))
        return Turn.MORE if free > count and len(keys) > len(published) else Turn.SETTLED

    def _costs(self, job: Job) -> JobCosts:
        return job_costs(job.spec, job.row_count, self._settings.bundle_seconds, self._settings.part_seconds)

    def _close(self, job: Job) -> Turn:
        closed = self._store.close_job(job.id, self._clock())
        if closed.state.is_terminal:
            self._logger.info("job ended", job_id=job.id, state=str(closed.state))
        return Turn.SETTLED

    def _release(self, lease: str) -> None:
        try:
            self._store.release_lease(lease, self._holder_id)
        except Unavailable as error:
            # Not worth failing the turn for: the lease ends by itself.
            self._logger.warning("lease not released", lease=lease, error=str(error))

    def _lost_before(self, job: Job, slots: int) -> datetime:
        """Before when what is lost of a job was published."""
        now = self._clock()
        republish_seconds = self._settings.republish_seconds
        cutoff = lost_before(now, republish_seconds, queue_started_at=self._queue_started_at)
        # Every unfinished job is looked at in each sweep: one that was not seen for so long has ended.
        self._seen = {each: at for each, at in self._seen.items() if at >= cutoff} | {job.id: now}
        began = self._queue_started_at or _LONG_AGO
        # What is younger than that cannot be lost; where nothing is older, the queue need not be asked.
        if cutoff <= max(began, job.created_at) or self._store.count_outstanding(
            job.id, began
        ) == self._store.count_outstanding(job.id, cutoff):
            return cutoff
        return began if is_crowded(self._queue.waiting_bundles(), slots, len(self._seen)) else cutoff
