"""A job that no worker could hold is refused when it is made, with the field and a sentence."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from kmeans.v1 import job_pb2, job_service_pb2

from services.core.settings import Settings


@pytest.fixture
def settings() -> Settings:
    return Settings(rpc_threads=8, max_job_cells=5)


def test_a_job_of_too_many_cells(dataset: Any, jobs: Any) -> None:
    spec = job_pb2.JobSpec(dataset=dataset.name, max_k=1, n_experiments=1)
    with pytest.raises(grpc.RpcError) as refused:
        jobs.CreateJob(job_service_pb2.CreateJobRequest(spec=spec), timeout=20)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "at most 5 are clustered here" in refused.value.details()
