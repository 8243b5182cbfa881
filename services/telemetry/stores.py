"""The job store, observed: what is made, claimed, ended and lost in it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from services.core.datasets import Dataset
from services.core.jobs import Job
from services.core.ports import Store
from services.core.quotas import NO_LIMITS, OwnerLimits
from services.core.tasks import TaskKey, TaskOutcome, TaskState
from services.telemetry.calls import ObservedCalls
from services.telemetry.deliveries import current_bundle
from services.telemetry.instruments import Instruments
from services.telemetry.tracing import Tracing

__all__ = ["ObservedStore"]

_SWEEP = "sweep:"
_MILLION = 1_000_000


class ObservedStore(ObservedCalls):
    """Stands in for a `services.core.ports.Store`; what is not here is passed on, timed."""

    def __init__(
        self,
        inner: Store,
        instruments: Instruments,
        tracing: Tracing,
        on_sweep: Callable[[bool], None] = lambda holds: None,
    ) -> None:
        """Observe this store; `on_sweep` is told whether this process got the lease of the sweep."""
        super().__init__(inner, "store", instruments, tracing)
        self._instruments = instruments
        self._tracing = tracing
        self._on_sweep = on_sweep

    def insert_dataset(self, dataset: Dataset, limits: OwnerLimits = NO_LIMITS) -> Dataset:
        """Count an upload that was kept."""
        kept: Dataset = self._call["insert_dataset"](dataset, limits)
        if kept.id == dataset.id:
            self._instruments.datasets.inc()
            self._instruments.uploaded_bytes.inc(dataset.size_bytes)
        return kept

    def insert_job(self, job: Job, limits: OwnerLimits = NO_LIMITS) -> Job:
        """Count a job that was made, and have it remember the trace of the call that made it."""
        kept: Job = self._call["insert_job"](replace(job, traceparent=self._tracing.traceparent()), limits)
        if kept.id == job.id:
            self._instruments.jobs_created.inc()
        return kept

    def start_job(self, job_id: str, keys: Sequence[TaskKey], now: datetime) -> Job:
        """Show the planning in the job's trace."""
        began = time.time_ns()
        job: Job = self._call["start_job"](job_id, keys, now)
        self._tell(job, "plan job", began, tasks=len(keys))
        return job

    def close_job(self, job_id: str, now: datetime) -> Job:
        """Count the end of a job."""
        return self._ended(self._call["close_job"](job_id, now), now)

    def cancel_job(self, job_id: str, now: datetime) -> Job:
        """Count the end of a job."""
        return self._ended(self._call["cancel_job"](job_id, now), now)

    def fail_job(self, job_id: str, failure: str, now: datetime) -> Job:
        """Count the end of a job."""
        return self._ended(self._call["fail_job"](job_id, failure, now), now)

    def retry_tasks(
        self,
        job_id: str,
        keys: Sequence[TaskKey] | None,
        now: datetime,
        limits: OwnerLimits = NO_LIMITS,
    ) -> Job:
        """Count it."""
        job: Job = self._call["retry_tasks"](job_id, keys, now, limits)
        self._instruments.job_retries.inc()
        return job

    def claim_tasks(
        self, keys: Sequence[TaskKey], attempt_id: str, lease_until: datetime, now: datetime
    ) -> tuple[TaskKey, ...]:
        """Count what was claimed, and how long after its bundle was published."""
        claimed: tuple[TaskKey, ...] = self._call["claim_tasks"](keys, attempt_id, lease_until, now)
        self._instruments.tasks_claimed.inc(len(claimed))
        delivery = current_bundle()
        if claimed and delivery is not None and delivery.waited_from is not None:
            waited = (datetime.now(UTC) - delivery.waited_from).total_seconds()
            self._instruments.claim_seconds.observe(max(0.0, waited))
        return claimed

    def renew_lease(self, attempt_id: str, lease_until: datetime) -> int:
        """Count claims that are held no more."""
        held: int = self._call["renew_lease"](attempt_id, lease_until)
        if not held:
            self._instruments.claims_lost.inc()
        return held

    def finish_tasks(
        self, attempt_id: str, outcomes: Sequence[TaskOutcome], now: datetime
    ) -> tuple[TaskKey, ...]:
        """Count what was written, and what it took."""
        written: tuple[TaskKey, ...] = self._call["finish_tasks"](attempt_id, outcomes, now)
        kept = set(written)
        self._written(outcome for outcome in outcomes if outcome.key in kept)
        return written

    def fail_tasks(self, keys: Sequence[TaskKey], error: str, now: datetime) -> tuple[TaskKey, ...]:
        """Count what was given up."""
        failed: tuple[TaskKey, ...] = self._call["fail_tasks"](keys, error, now)
        self._instruments.tasks_ended.labels(TaskState.ERROR.value).inc(len(failed))
        return failed

    def release_tasks(self, attempt_id: str, now: datetime) -> tuple[TaskKey, ...]:
        """Count what went back."""
        released: tuple[TaskKey, ...] = self._call["release_tasks"](attempt_id, now)
        self._instruments.tasks_handed_back.inc(len(released))
        return released

    def expire_leases(self, now: datetime, max_losses: int | None = None) -> tuple[str, ...]:
        """Count the jobs that lost a worker."""
        job_ids: tuple[str, ...] = self._call["expire_leases"](now, max_losses)
        self._instruments.leases_expired.inc(len(job_ids))
        return job_ids

    def acquire_lease(self, name: str, holder: str, until: datetime, now: datetime) -> bool:
        """Notice who sweeps."""
        got = False
        try:
            got = bool(self._call["acquire_lease"](name, holder, until, now))
        finally:
            # Who cannot ask for the lease does not sweep, either.
            if name.startswith(_SWEEP):
                self._on_sweep(got)
        return got

    def _written(self, outcomes: Any) -> None:
        states = Counter[str]()
        iterations = Counter[str]()
        for outcome in outcomes:
            covariance = outcome.key.covariance.value
            states[outcome.state.value] += 1
            self._instruments.task_seconds.labels(covariance).observe(outcome.seconds)
            if outcome.result is not None:
                iterations[covariance] += outcome.result.n_iter
        for state, count in states.items():
            self._instruments.tasks_ended.labels(state).inc(count)
        for covariance, count in iterations.items():
            self._instruments.iterations.labels(covariance).inc(count)

    def _ended(self, job: Job, now: datetime) -> Job:
        # Whose `ended_at` is another time was ended before, by somebody else.
        if job.state.is_terminal and job.ended_at == now:
            state = job.state.value
            self._instruments.jobs_ended.labels(state).inc()
            self._instruments.job_seconds.labels(state).observe((now - job.created_at).total_seconds())
            self._tell(job, "job", int(job.created_at.timestamp() * 1000) * _MILLION, state=state)
        return job

    def _tell(self, job: Job, name: str, began_ns: int, **attributes: str | int) -> None:
        if not job.traceparent:
            return
        parent = self._tracing.context_of(job.traceparent)
        facts = {"kmeans.job": job.id, **{f"kmeans.{key}": value for key, value in attributes.items()}}
        self._tracing.span(name, parent=parent, attributes=facts, started_ns=began_ns).end()
