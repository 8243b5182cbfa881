"""A huge job does not stand in front of a small one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.core.covariance import Covariance
from services.core.jobs import Job, JobState
from services.core.planning import publish_window
from services.core.tasks import TaskState
from tests.integration.jobs.conftest import until
from tests.integration.rabbitmq.conftest import RabbitService

SLOTS = 2


def bundles_begun(service: RabbitService, job_id: str, during: Job) -> int:
    """How many bundles of a job were begun, each by a claim of its own, while another job lived."""
    began, ended = during.created_at, during.ended_at
    assert ended is not None
    return len(
        {
            task.attempt_id
            for task in service.tasks(job_id)
            if task.started_at is not None and began <= task.started_at <= ended
        }
    )


@pytest.mark.timeout(300)
def test_a_small_job_overtakes_a_huge_one(make_service: Callable[..., RabbitService]) -> None:
    service = make_service(bundle_seconds=0.02)
    every = {"covariances": tuple(Covariance), "n_init": 1}
    huge = service.submit("huge", max_k=20, n_experiments=100, **every)
    assert huge.spec.n_tasks == 12_000
    with service.worker(SLOTS), service.scheduling():
        until(lambda: service.store.count_tasks("huge")[TaskState.DONE] > 0)
        small = service.submit("small", max_k=5, n_experiments=2, **every)
        assert small.spec.n_tasks == 60
        ended = service.wait_until_ended("small")
        assert ended.state is JobState.SUCCEEDED
        assert service.store.count_tasks("huge").unfinished > 0
        service.store.cancel_job("huge", service.clock())
    # What was published before it, and as much beside it: not the 150 bundles of the huge one.
    assert 0 < bundles_begun(service, "huge", during=ended) <= 4 * publish_window(SLOTS)
