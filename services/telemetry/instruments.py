"""The Prometheus metrics of a process. docs/observability.md lists them; a test holds the two together."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

__all__ = ["Instruments"]

# A series beside each other one, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

# From a task of the smallest table to one that is run in parts.
_WORK_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
# From an idle worker to an hour in line.
_WAIT_SECONDS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3600.0)
# From a look that the store remembers to an upload of a GiB over a slow line.
_CALL_SECONDS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
_JOB_SECONDS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3600.0, 10_800.0, 86_400.0)


class Instruments:
    """Every metric, in a registry of its own, so that two services of one process do not mix theirs."""

    def __init__(self, service: str) -> None:
        """Make them for a process of this name: gateway, scheduler, worker or embedded."""
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        Info("kmeans_build", "What runs here.", registry=self.registry).info(
            {"service": service, "version": _version()}
        )
        self.ready = self._gauge(
            "ready", "1 while the servers behind it answer and it was not asked to end.", "service"
        )
        # The front door
        self.rpcs = self._counter("rpcs", "Calls that ended, by method and status code.", "method", "code")
        self.rpc_seconds = self._histogram(
            "rpc_duration_seconds", "From a call's arrival to its end.", _CALL_SECONDS, "method", "code"
        )
        self.rpcs_in_flight = self._gauge(
            "rpcs_in_flight", "Calls under way; of JobService/WatchJob: the watch streams.", "method"
        )
        self.datasets = self._counter("datasets_created", "Uploads that became datasets.")
        self.uploaded_bytes = self._counter("uploaded_bytes", "Bytes of these datasets, as uploaded.")
        self.jobs_created = self._counter("jobs_created", "Jobs accepted.")
        self.job_retries = self._counter("job_retries", "Jobs of which tasks were set back to run again.")
        # Jobs
        self.jobs_ended = self._counter(
            "jobs_ended", "Jobs that this process ended, by final state.", "state"
        )
        self.job_seconds = self._histogram(
            "job_duration_seconds", "From a job's creation to its end.", _JOB_SECONDS, "state"
        )
        # The queue
        self.bundles_published = self._counter("bundles_published", "Bundles the queue confirmed.")
        self.dead_bundles = self._counter("dead_bundles", "Bundles given up: they passed the delivery limit.")
        self.bundles_delivered = self._counter(
            "bundles_delivered", "Bundles received; redelivered ones were received before.", "redelivered"
        )
        self.queue_seconds = self._histogram(
            "queue_latency_seconds", "From publishing a bundle to its first delivery.", _WAIT_SECONDS
        )
        self.claim_seconds = self._histogram(
            "claim_latency_seconds", "From publishing a bundle to the claim of its tasks.", _WAIT_SECONDS
        )
        # Tasks
        self.bundles_in_progress = self._gauge("bundles_in_progress", "Slots of this process that are busy.")
        self.bundle_seconds = self._histogram(
            "bundle_duration_seconds", "From a bundle's delivery to its settlement.", _WORK_SECONDS, "outcome"
        )
        self.tasks_claimed = self._counter("tasks_claimed", "Tasks, or parts of tasks, claimed.")
        self.tasks_ended = self._counter(
            "tasks_ended", "Tasks, or parts of tasks, whose end this process wrote, by state.", "state"
        )
        self.task_seconds = self._histogram(
            "task_duration_seconds", "Computing one task, or one part.", _WORK_SECONDS, "covariance"
        )
        self.iterations = self._counter(
            "kernel_iterations", "Iterations of the winning start of each fit.", "covariance"
        )
        self.tasks_handed_back = self._counter(
            "tasks_handed_back", "Claimed tasks given back unfinished: a shutdown or an outage."
        )
        self.claims_lost = self._counter(
            "claims_lost",
            "Renewals of a lease that found nothing held: it was lost, cancelled or all written.",
        )
        self.leases_expired = self._counter(
            "leases_expired", "Jobs of which a sweep took tasks back because a worker's lease had ended."
        )
        self.sweeping = self._gauge("sweeping", "1 while this process holds the lease of the sweep.")
        # What is behind us
        self.call_seconds = self._histogram(
            "backend_call_duration_seconds", "Calls of the backends.", _CALL_SECONDS, "backend", "operation"
        )
        self.call_failures = self._counter(
            "backend_call_failures", "Calls that a server did not answer.", "backend", "operation"
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"kmeans_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"kmeans_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(f"kmeans_{name}", text, labels, buckets=buckets, registry=self.registry)


def _version() -> str:
    try:
        return version("kmeans-service")
    except PackageNotFoundError:
        return "unknown"
