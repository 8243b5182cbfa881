"""The file of a model: what is held while it is written."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from services.core.covariance import Assignment, Covariance
from services.core.models import FittedModel
from services.core.tasks import Task, TaskKey, TaskState
from services.gateway.model_files import write_model
from tests.contract.samples import make_dataset, make_job, make_result

K, D = 40, 48
EXPANDED_BYTES = K * D * D * 8


@pytest.mark.parametrize(
    ("covariance", "shape"),
    [
        (Covariance.SPHER_TIED, (1,)),
        (Covariance.DIAG_UNTIED, (K, D)),
        (Covariance.FULL_TIED, (D, D)),
        (Covariance.FULL_UNTIED, (K, D, D)),
    ],
)
def test_one_covariance_is_expanded_at_a_time(covariance: Covariance, shape: tuple[int, ...]) -> None:
    dataset = make_dataset()
    job = make_job(dataset)
    task = Task(TaskKey(job.id, 0, K, covariance), TaskState.DONE, result=make_result())
    model = FittedModel(
        covariance,
        Assignment.LIKELIHOOD,
        tuple(f"c{index}" for index in range(D)),
        np.zeros(D),
        np.ones(D),
        np.full(K, 1 / K),
        np.zeros((K, D)),
        np.ones(shape),
    )
    tracemalloc.start()
    size = sum(len(chunk) for chunk in write_model(dataset, job, task, make_result(), model, 1 << 14))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > EXPANDED_BYTES
    assert peak < EXPANDED_BYTES / 2
