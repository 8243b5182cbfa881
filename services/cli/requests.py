"""Command-line options as requests."""

from __future__ import annotations

from kmeans.v1 import job_pb2

from kmeans_client import assignment_value, covariance_value
from services.cli.options import JobOptions

__all__ = ["job_spec", "resource_name"]


def job_spec(dataset: str, wanted: JobOptions) -> job_pb2.JobSpec:
    """The spec of a job on `datasets/{id}`."""
    return job_pb2.JobSpec(
        dataset=dataset,
        columns=wanted.columns,
        max_k=wanted.max_k,
        n_experiments=wanted.experiments,
        n_init=wanted.n_init,
        covariances=[covariance_value(covariance) for covariance in wanted.covariances],
        assignment=assignment_value(wanted.assignment),
        scale=wanted.scale,
        seed=wanted.seed,
    )


def resource_name(collection: str, text: str) -> str:
    """`collection/ID` for a bare ID; a name with a slash stays as it is."""
    return text if "/" in text else f"{collection}/{text}"
