"""Labels of the metrics: every name, and every value it may have. Nothing a user can make more of."""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from kmeans.v1 import dataset_service_pb2, job_service_pb2

from services.core.covariance import Covariance
from services.core.jobs import JobState
from services.core.ports import ObjectStore, Store, TaskQueue
from services.core.tasks import TaskState

__all__ = ["LABELS", "METHODS", "OPERATIONS", "OTHER", "method_of"]

OTHER = "other"

METHODS = frozenset(
    f"{service.name}/{method.name}"
    for service in (
        dataset_service_pb2.DESCRIPTOR.services_by_name["DatasetService"],
        job_service_pb2.DESCRIPTOR.services_by_name["JobService"],
    )
    for method in service.methods
)

# Left out is what waits for others by its nature, so that its time says nothing of the server.
OPERATIONS: Mapping[str, frozenset[str]] = {
    "store": frozenset(name for name in dir(Store) if not name.startswith("_"))
    - {"close", "wait_for_change"},
    "queue": frozenset({"ping", "publish_bundles", "publish_event", "slots", "waiting_bundles"}),
    "objects": frozenset(name for name in dir(ObjectStore) if not name.startswith("_"))
    - {"close", "list_keys", "open"},
}
assert OPERATIONS["queue"] <= set(dir(TaskQueue))

LABELS: Mapping[str, frozenset[str]] = {
    "state": frozenset(JobState) | frozenset(TaskState),
    "covariance": frozenset(Covariance),
    "outcome": frozenset({"acknowledged", "requeued", "rejected"}),
    "redelivered": frozenset({"true", "false"}),
    "method": METHODS | {OTHER},
    "code": frozenset(code.name for code in grpc.StatusCode),
    "backend": frozenset(OPERATIONS),
    "operation": frozenset().union(*OPERATIONS.values()),
    "service": frozenset({"gateway", "scheduler", "worker", "embedded"}),
}


def method_of(path: str) -> str:
    """`JobService/GetJob` of `/kmeans.v1.JobService/GetJob`; `other` of what we do not serve."""
    method = path.rpartition(".")[2]
    return method if method in METHODS else OTHER
