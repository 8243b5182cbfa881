"""Ports: what the services need of a store, a queue and an object store, as small protocols.

Every implementation passes the same contract tests (`tests/contract`). All methods are safe to call from
several threads. Errors are those of `services.core.errors`; a driver's exception never crosses a port.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Protocol

from services.core.datasets import Dataset
from services.core.jobs import Job, JobEvent, JobFilter, JobState
from services.core.models import FittedModel
from services.core.pages import Page, PageRequest
from services.core.quotas import NO_LIMITS, OwnerLimits, OwnerUsage
from services.core.tasks import (
    Bundle,
    Task,
    TaskCounts,
    TaskFilter,
    TaskKey,
    TaskOrder,
    TaskOutcome,
)

__all__ = [
    "BundleConsumer",
    "BundleDelivery",
    "DatasetStore",
    "DeadBundle",
    "JobStore",
    "LeaseStore",
    "ObjectInfo",
    "ObjectStore",
    "Store",
    "TaskQueue",
    "TaskStore",
]


class DatasetStore(Protocol):
    """Dataset records."""

    def insert_dataset(self, dataset: Dataset, limits: OwnerLimits = NO_LIMITS) -> Dataset:
        """Keep a new dataset; with a request_id the owner used before, return the one it made.

        Raises Conflict when that one has other bytes (sha256) or another display_name, LimitExceeded when
        the new one is more than its owner may have: exactly, whoever else inserts at the same time.
        """

    def get_dataset(self, dataset_id: str) -> Dataset:
        """Return it, or raise NotFound (`DATASET_NOT_FOUND`)."""

    def dataset_of_request(self, owner: str, request_id: str) -> Dataset | None:
        """The dataset that the owner made under this request_id, not empty; None when there is none."""

    def list_datasets(self, owner: str | None, page: PageRequest) -> Page[Dataset]:
        """Newest first: by (created_at, id) descending. None lists every owner's.

        Without their correlations (NO_CORRELATION), of which that of one wide table takes megabytes. A record
        that cannot be read is told in the log and left out, so that a page may hold fewer than asked for
        and not be the last; `get_dataset` raises DataLoss for it.
        """

    def delete_dataset(self, dataset_id: str) -> None:
        """Forget it; NotFound when unknown, FailedPrecondition (`DATASET_IN_USE`) while a job uses it."""


class JobStore(Protocol):
    """Job records and their life."""

    def insert_job(self, job: Job, limits: OwnerLimits = NO_LIMITS) -> Job:
        """Keep a new job; with a request_id the owner used before, return the one it made.

        Raises Conflict when that one has another spec or display_name, NotFound when the dataset is
        not there (checked in the same transaction, so that a concurrent delete cannot slip between),
        LimitExceeded when the new one is more than its owner may have (in that transaction too).
        """

    def job_made_before(self, job: Job) -> Job | None:
        """What `insert_job` would return in place of this new job; None when it would keep this one.

        Raises Conflict as `insert_job`.
        """

    def get_job(self, job_id: str) -> Job:
        """Return it, or raise NotFound (`JOB_NOT_FOUND`)."""

    def list_jobs(self, job_filter: JobFilter, page: PageRequest) -> Page[Job]:
        """Newest first: by (created_at, id) descending. Left out is what cannot be read, as above."""

    def count_jobs(self) -> Mapping[JobState, int]:
        """How many jobs of all owners are in each state; states that no job is in may be left out."""

    def unfinished_jobs(self) -> tuple[Job, ...]:
        """Every PENDING or RUNNING job, oldest first: what the sweep looks at.

        A record that cannot be read is left out and told in the log: it must not stop all others.
        """

    def start_job(self, job_id: str, keys: Sequence[TaskKey], now: datetime) -> Job:
        """Insert its tasks (those already there stay as they are) and, if PENDING, make it RUNNING.

        The key of a part stands for its task, which is then run in the parts that are named here; a task
        already there gets no parts. A job that is no longer PENDING or RUNNING (cancelled meanwhile) gets
        no task and is returned.
        """

    def close_job(self, job_id: str, now: datetime) -> Job:
        """Apply `state_when_all_ended` to a RUNNING job, atomically with the counting; else no change."""

    def fail_job(self, job_id: str, failure: str, now: datetime) -> Job:
        """PENDING or RUNNING → FAILED with this sentence; tasks left to run become CANCELLED."""

    def cancel_job(self, job_id: str, now: datetime) -> Job:
        """PENDING or RUNNING → CANCELLED, and so its unfinished tasks; no change when it has ended.

        What some parts of such a task have found is dropped.
        """

    def retry_tasks(
        self,
        job_id: str,
        keys: Sequence[TaskKey] | None,
        now: datetime,
        limits: OwnerLimits = NO_LIMITS,
    ) -> Job:
        """Set terminal tasks back to PENDING (None: those in ERROR) and the job back to RUNNING.

        What the tasks held (result, model, error, that it was published) is cleared; `ended_at` and `failure`
        of the job too; how often the task was claimed, and when last, stays. All parts of such a task
        are set back with it. Tasks that are PENDING or RUNNING stay as they are. NotFound
        (`TASK_NOT_FOUND`) when a named task does not exist: then nothing changes. Without any task
        to retry the job is returned unchanged. A FAILED job that never had tasks (it failed in
        planning) goes back to PENDING. LimitExceeded when that is more than its owner may have.
        """

    def delete_job(self, job_id: str) -> None:
        """Forget an ended job with its tasks; FailedPrecondition (`JOB_NOT_ENDED`) while it runs."""

    def wait_for_change(self, job_id: str, revision: int, timeout_seconds: float) -> int:
        """Block until the job's revision is above this one or the time is up; return the current one.

        Raises NotFound when the job is not there or is deleted while waiting, StoreUnavailable when
        the store is closed while waiting.
        """

    def changed_tasks(self, job_id: str, revision: int, limit: int) -> tuple[Task, ...]:
        """Tasks whose revision is above this one, by (revision, key) ascending; may repeat, never omits.

        About `limit` at a time: those that share a revision are never parted, so that going on from
        the last revision seen omits none; there may be more than `limit`.
        """


class TaskStore(Protocol):
    """Task records: exactly-once bookkeeping by attempt.

    Where a task has parts, they are published, claimed and finished in its stead, by the same methods,
    and every change of a part brings the task in line with `services.core.parts.task_of_parts` in the
    same transaction. Listings, counts and changes show whole tasks only, as does all of `JobStore`.
    """

    def get_task(self, key: TaskKey) -> Task:
        """Return it (a part too, by its key), or raise NotFound (`TASK_NOT_FOUND`)."""

    def get_model(self, key: TaskKey) -> FittedModel:
        """The model of a DONE or DEGENERATE task.

        Raises NotFound: `TASK_NOT_FOUND` when there is no such task, `MODEL_NOT_FOUND` when it has none.
        """

    def list_tasks(
        self, job_id: str, task_filter: TaskFilter, order: TaskOrder, page: PageRequest
    ) -> Page[Task]:
        """Tasks in the order asked for; NotFound when the job does not exist.

        By BIC, tasks without a score, or with NaN for one, come last, by key.
        """

    def all_tasks(self, job_id: str) -> tuple[Task, ...]:
        """Every task by key, for reports."""

    def count_tasks(self, job_id: str) -> TaskCounts:
        """Counts by state, counted from the tasks."""

    def count_outstanding(self, job_id: str, published_since: datetime) -> int:
        """Tasks that are RUNNING, or PENDING and published at or after this time; each part counts as one."""

    def unpublished_tasks(self, job_id: str, published_before: datetime, limit: int) -> tuple[TaskKey, ...]:
        """PENDING tasks never published, or last published before this time; by key, at most `limit`.

        Of a task with parts those of the parts for which this holds, never the task itself.
        """

    def mark_published(self, keys: Sequence[TaskKey], now: datetime) -> None:
        """Note that the queue confirmed them. Nobody can see that: it raises no revision."""

    def claim_tasks(
        self, keys: Sequence[TaskKey], attempt_id: str, lease_until: datetime, now: datetime
    ) -> tuple[TaskKey, ...]:
        """Take those that are PENDING.

        They become RUNNING under this attempt (attempts + 1, started_at = now). Atomic per task: of two
        claims at once, one gets it. Unknown keys, tasks of ended jobs and tasks with parts are passed over,
        and RUNNING ones even where their lease has ended: `expire_leases` sets those back, and counts it.
        """

    def renew_lease(self, attempt_id: str, lease_until: datetime) -> int:
        """Extend every RUNNING task of this attempt; return how many there are (0: lost or cancelled).

        Nobody can see that: it raises no revision.
        """

    def finish_tasks(
        self, attempt_id: str, outcomes: Sequence[TaskOutcome], now: datetime
    ) -> tuple[TaskKey, ...]:
        """Write outcomes where the task is RUNNING under this attempt; return the keys written."""

    def release_tasks(self, attempt_id: str, now: datetime) -> tuple[TaskKey, ...]:
        """RUNNING tasks of this attempt → PENDING; they stay published, for their bundle goes back too.

        A second copy of the bundle beside the one that a worker hands back would multiply with
        every failure.
        """

    def fail_tasks(self, keys: Sequence[TaskKey], error: str, now: datetime) -> tuple[TaskKey, ...]:
        """Tasks that are PENDING, or RUNNING with an ended lease → ERROR (their bundle was dead-lettered)."""

    def expire_leases(self, now: datetime, max_losses: int | None = None) -> tuple[str, ...]:
        """RUNNING tasks whose lease ended before now → PENDING and unpublished; ids of their jobs.

        Each such loss is counted, which a retry forgets; what a worker hands back is no loss. A task that
        was lost `max_losses` times before → ERROR (`lost_too_often`): it may be what ends its workers.
        """

    def suspect_tasks(self, job_id: str) -> tuple[TaskKey, ...]:
        """PENDING tasks that were lost at least once, by key: to be run alone, not beside innocent ones."""


class LeaseStore(Protocol):
    """Named leases, so that of several schedulers one sweeps."""

    def acquire_lease(self, name: str, holder: str, until: datetime, now: datetime) -> bool:
        """Take or extend the lease unless another holder's has not ended."""

    def release_lease(self, name: str, holder: str) -> None:
        """Give it up if it is ours."""

    def remove_leases(self, ended_before: datetime) -> int:
        """Forget leases that ended before this time, whoever held them; return how many."""


class Store(DatasetStore, JobStore, TaskStore, LeaseStore, Protocol):
    """The job store: datasets, jobs, tasks and leases. The one source of truth."""

    def owner_usage(self, owner: str) -> OwnerUsage:
        """What this owner has now, counted from its datasets, jobs and tasks."""

    def ping(self) -> None:
        """Raise StoreUnavailable when it does not answer."""

    def close(self) -> None:
        """Let go of connections; idempotent."""


class BundleDelivery(Protocol):
    """One bundle in the hands of one worker slot; exactly one of the methods is called."""

    @property
    def bundle(self) -> Bundle:
        """What to run."""

    @property
    def redelivered(self) -> bool:
        """Whether it was delivered before."""

    def ack(self) -> None:
        """It is dealt with. A connection lost meanwhile is no error: the bundle comes again."""

    def requeue(self) -> None:
        """Give it back unharmed (a shutdown): does not count toward the delivery limit where avoidable."""

    def reject(self, reason: str) -> None:
        """It failed by infrastructure: redelivered, or dead-lettered at the delivery limit."""


class BundleConsumer(Protocol):
    """A worker's end of the bundle queue."""

    def receive(self, timeout_seconds: float) -> BundleDelivery | None:
        """The next bundle, or None when none came in time or the consumer was cancelled or closed."""

    def cancel(self) -> None:
        """Take nothing more: bundles and slots are the others' at once. Idempotent, and waits for nothing.

        What was received may still be settled; a requeue gives it to the others.
        """

    def close(self) -> None:
        """Stop consuming; unacknowledged deliveries go back to the queue, uncounted. Idempotent."""


@dataclass(frozen=True, slots=True)
class DeadBundle:
    """A bundle that passed the delivery limit, and why.

    Attributes:
        was_rejected: whether a worker ever said that it failed. If none did, its workers died, or the broker
            put it aside: the tasks they had begun are known by their leases, and no other is to blame.
        receipt: by which its queue knows it.
    """

    bundle: Bundle
    reason: str
    was_rejected: bool = True
    receipt: object = field(default=None, compare=False, repr=False)


class TaskQueue(Protocol):
    """Carries bundles and job events; may lose or repeat anything, because the sweep republishes."""

    @property
    def name(self) -> str:
        """Equal for two processes exactly when they share this queue (names the sweep's lease)."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes can reach it; False for `memory://`."""

    def publish_bundles(self, bundles: Sequence[Bundle]) -> None:
        """Return when every one is confirmed; QueueUnavailable otherwise (some may have arrived)."""

    def publish_event(self, event: JobEvent) -> None:
        """Return when confirmed; QueueUnavailable otherwise."""

    def open_bundle_consumer(self, slots: int) -> BundleConsumer:
        """Consume with one unacknowledged bundle per slot."""

    def receive_events(self, timeout_seconds: float) -> tuple[JobEvent, ...]:
        """Wait for at least one event, then drain what is there, without repeats; () when none came."""

    def receive_dead_bundles(self, timeout_seconds: float) -> tuple[DeadBundle, ...]:
        """Dead-lettered bundles; one that is not forgotten comes again when this queue is closed."""

    def forget_dead_bundle(self, dead: DeadBundle) -> None:
        """The store was told of it. A connection lost meanwhile is no error: then it comes again."""

    def slots(self) -> int:
        """How many bundles can run at once over all consumers right now."""

    def waiting_bundles(self) -> int:
        """How many bundles, of whichever jobs, are in the queue right now and in no consumer's hands."""

    def ping(self) -> None:
        """Raise QueueUnavailable when it does not answer."""

    def close(self) -> None:
        """Let go of connections; idempotent. Blocked receives return."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What was stored: size in bytes and lower-case hexadecimal SHA-256."""

    key: str
    size_bytes: int
    sha256: str


class ObjectStore(Protocol):
    """Bytes by key; keys are made by the service, never by a user."""

    def put(self, key: str, chunks: Iterable[bytes | memoryview]) -> ObjectInfo:
        """Stream the chunks in; whole or not at all.

        When `chunks` raises, nothing is left and its error propagates.
        """

    def open(self, key: str) -> AbstractContextManager[BinaryIO]:
        """A seekable reader; NotFound (`OBJECT_NOT_FOUND`) when there is none."""

    def exists(self, key: str) -> bool:
        """Whether an object has this key."""

    def delete(self, key: str) -> None:
        """Remove it; no error when there is none."""

    def list_keys(self, prefix: str, older_than: datetime) -> Iterator[str]:
        """Keys under the prefix written before this time, for removing orphans."""

    def ping(self) -> None:
        """Raise ObjectsUnavailable when it does not answer."""

    def close(self) -> None:
        """Let go of connections; idempotent."""
