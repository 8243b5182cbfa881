"""Bundles: claim the tasks of one, fit them, write what came out, settle the delivery."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import structlog
from structlog.contextvars import bound_contextvars

import ckernel
from services.core.backoff import backoff_seconds
from services.core.clock import Clock
from services.core.errors import NotFound, ServiceError, Unavailable
from services.core.jobs import Job, JobEvent
from services.core.ports import BundleDelivery, Store, TaskQueue
from services.core.tasks import Bundle, TaskKey, TaskOutcome
from services.tables import Matrix
from services.worker.exclusive import Gate
from services.worker.fitting import Fit, failed, fit_task, out_of_memory
from services.worker.leases import Claim, LeaseKeeper
from services.worker.matrices import MatrixCache, MatrixKey

__all__ = ["BundleRunner"]

_T = TypeVar("_T")

# Outcomes wait at most about this long to be written: a commit each would cost more than a short fit.
_WRITE_SECONDS = 0.5
# With the pauses in between, an outage of ten seconds costs nothing but these seconds.
_TRIES = 8


class BundleRunner:
    """Runs one bundle at a time per calling thread. Every delivery given to `run` is settled by it."""

    def __init__(
        self,
        store: Store,
        queue: TaskQueue,
        matrices: MatrixCache,
        keeper: LeaseKeeper,
        gate: Gate,
        *,
        lease_seconds: float,
        clock: Clock,
        stopping: threading.Event,
        pause: Callable[[float], object],
        jitter: Callable[[], float],
        fit: Fit = ckernel.fit,
    ) -> None:
        """Make a runner.

        Args:
            gate: shared by all who run bundles in this process; closed when they are to stop.
            stopping: once set, the current fit is the last, and the rest is handed back.
            pause: waits so many seconds, or less when the worker stops.
            jitter: gives random numbers in [0, 1) for the pauses after a failure.
        """
        self._store = store
        self._queue = queue
        self._matrices = matrices
        self._keeper = keeper
        self._gate = gate
        self._lease = timedelta(seconds=lease_seconds)
        self._clock = clock
        self._stopping = stopping
        self._pause = pause
        self._jitter = jitter
        self._fit = fit
        self._logger = structlog.get_logger("worker")

    def run(self, delivery: BundleDelivery) -> None:
        """Run what is still to run of a bundle.

        Raises:
            Unavailable: the bundle went back to the queue; take the next one after a pause.
        """
        bundle = delivery.bundle
        # Claimed only once inside: a lease would run, and a death count, while the bundle waits.
        with self._gate.enter(alone=_runs_alone(delivery)) as may_run:
            if not may_run or self._stopping.is_set():
                delivery.requeue()
                return
            claim = Claim(uuid.uuid4().hex, bundle.job_id)
            # Whatever is logged meanwhile, by the backends too, says for whom.
            with bound_contextvars(job_id=bundle.job_id, attempt=claim.attempt_id):
                self._run(delivery, bundle, claim)

    def _run(self, delivery: BundleDelivery, bundle: Bundle, claim: Claim) -> None:
        try:
            job = self._job_to_run(bundle.job_id)
            keys = () if job is None else self._claim(delivery, claim)
        except Unavailable:
            delivery.requeue()
            raise
        except Exception as error:
            self._logger.exception("bundle not begun")
            delivery.reject(_sentence(error))
            return
        if job is None or not keys:
            # It was delivered before, or its job has ended. What runs elsewhere, the sweep looks after.
            delivery.ack()
            self._logger.debug("nothing to run in a bundle", tasks=len(bundle.keys))
            return
        with self._keeper.hold(claim):
            self._run_claimed(delivery, job, keys, claim)

    def _job_to_run(self, job_id: str) -> Job | None:
        try:
            job = self._store.get_job(job_id)
        except NotFound:
            return None
        return None if job.state.is_terminal else job

    def _claim(self, delivery: BundleDelivery, claim: Claim) -> tuple[TaskKey, ...]:
        now = self._clock()
        keys = self._to_claim(delivery)
        return self._store.claim_tasks(keys, claim.attempt_id, now + self._lease, now) if keys else ()

    def _to_claim(self, delivery: BundleDelivery) -> tuple[TaskKey, ...]:
        bundle = delivery.bundle
        if _runs_alone(delivery) or not delivery.redelivered:
            return bundle.keys
        # The worker that had it may have died of one of its tasks: those are published anew, each alone.
        suspects = frozenset(self._store.suspect_tasks(bundle.job_id))
        return tuple(key for key in bundle.keys if key not in suspects)

    def _run_claimed(self, delivery: BundleDelivery, job: Job, keys: Sequence[TaskKey], claim: Claim) -> None:
        began = time.monotonic()
        try:
            fitted = self._fit_and_write(job, keys, claim)
        except MemoryError:
            # As a death of the process would be: it may have been its neighbours' doing, or this worker's.
            self._logger.warning("memory ran out", rows=job.row_count, columns=len(job.spec.columns))
            self._release(claim)
            delivery.reject(out_of_memory(job.row_count, len(job.spec.columns)))
            return
        except Unavailable:
            # Not the bundle's doing, so nothing is counted against it, however long the outage.
            self._release(claim)
            delivery.requeue()
            raise
        except Exception as error:
            self._logger.exception("bundle failed")
            self._release(claim)
            delivery.reject(_sentence(error))
            return
        if claim.is_lost and self._stopping.is_set():
            # Its tasks were handed back: acknowledged, they would wait until they count as lost.
            delivery.requeue()
            return
        if fitted < len(keys) and not claim.is_lost:
            self._release(claim)
            delivery.requeue()
            self._logger.info("bundle handed back", fitted=fitted, tasks=len(keys))
            return
        delivery.ack()
        self._announce(job.id)
        self._logger.debug(
            "bundle done" if fitted == len(keys) else "bundle dropped: its tasks are no longer ours",
            fitted=fitted,
            tasks=len(keys),
            seconds=round(time.monotonic() - began, 4),
        )

    def _fit_and_write(self, job: Job, keys: Sequence[TaskKey], claim: Claim) -> int:
        """Fit tasks until all are done, the claim is lost or the worker stops; return how many were.

        Raises:
            MemoryError: some did not fit into memory; all others are done and written.
        """
        fitted = 0
        too_large: MemoryError | None = None
        outcomes: list[TaskOutcome] = []
        written_at = time.monotonic()
        try:
            matrix = self._load(job)
        except ServiceError as error:
            if error.retryable:
                raise
            self._write(claim, [failed(key, str(error)) for key in keys])
            self._logger.warning("dataset cannot be used", error=str(error))
            return len(keys)
        for key in keys:
            if claim.is_lost or self._stopping.is_set():
                break
            with bound_contextvars(task_id=key.id):
                try:
                    outcomes.append(self._outcome(matrix, job, key))
                except MemoryError as error:
                    too_large = error
                    continue
            fitted += 1
            if time.monotonic() - written_at >= _WRITE_SECONDS:
                self._write(claim, outcomes)
                outcomes = []
                written_at = time.monotonic()
        self._write(claim, outcomes)
        if too_large is not None and not claim.is_lost and not self._stopping.is_set():
            raise too_large
        return fitted

    def _load(self, job: Job) -> Matrix:
        return self._retrying(lambda: self._matrices.get(MatrixKey.of(job.spec)), "dataset not loaded")

    def _outcome(self, matrix: Matrix, job: Job, key: TaskKey) -> TaskOutcome:
        try:
            return fit_task(matrix, job.spec, key, fit=self._fit)
        except ValueError as error:
            # The kernel's way of saying that this data cannot be fitted so; it would say so again.
            return failed(key, str(error))
        except MemoryError:
            raise  # not the task's word: with more room, or less beside it, it may fit
        except Exception as error:
            self._logger.exception("task failed")
            return failed(key, _sentence(error))

    def _write(self, claim: Claim, outcomes: Sequence[TaskOutcome]) -> None:
        if not outcomes or claim.is_lost:
            return
        written = self._retrying(
            lambda: self._store.finish_tasks(claim.attempt_id, outcomes, self._clock()),
            "results not written",
        )
        # Fewer were written when the claim is lost, or when a write that seemed to fail had not.
        if len(written) < len(outcomes) and not self._store.renew_lease(
            claim.attempt_id, self._clock() + self._lease
        ):
            claim.lose()

    def _retrying(self, call: Callable[[], _T], event: str) -> _T:
        for failures in range(1, _TRIES):
            try:
                return call()
            except Unavailable as error:
                if self._stopping.is_set():
                    raise
                seconds = backoff_seconds(failures, self._jitter())
                self._logger.warning(
                    event, error=str(error), failures=failures, pause_seconds=round(seconds, 3)
                )
                self._pause(seconds)
        return call()

    def _release(self, claim: Claim) -> None:
        try:
            self._store.release_tasks(claim.attempt_id, self._clock())
        except Unavailable as error:
            self._logger.warning("claim not released; its lease ends by itself", error=str(error))
        except Exception:
            # The delivery has to be settled all the same.
            self._logger.exception("claim not released; its lease ends by itself")

    def _announce(self, job_id: str) -> None:
        try:
            self._queue.publish_event(JobEvent(job_id))
        except Unavailable as error:
            self._logger.warning("event lost; the sweep finds the job", error=str(error))


def _runs_alone(delivery: BundleDelivery) -> bool:
    # A single task that comes again may be a suspect whose publisher knew nothing of `alone`.
    return delivery.bundle.alone or (delivery.redelivered and len(delivery.bundle.keys) == 1)


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else f"{type(error).__name__}."
