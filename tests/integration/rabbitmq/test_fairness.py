"""A huge job does not stand in front of a small one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.core.covariance import Covariance
from services.core.jobs import JobState
from tests.integration.jobs.conftest import until
from tests.integration.rabbitmq.conftest import RabbitService


@pytest.mark.timeout(300)
def test_a_small_job_overtakes_a_huge_one(make_service: Callable[..., RabbitService]) -> None:
    service = make_service(bundle_seconds=0.05)
    every = {"covariances": tuple(Covariance), "n_init": 1}
    huge = service.submit("huge", max_k=20, n_experiments=100, **every)
    assert huge.spec.n_tasks == 12_000
    with service.worker(2), service.scheduling():
        until(lambda: any(task.state.is_terminal for task in service.tasks("huge")))
        small = service.submit("small", max_k=5, n_experiments=2, **every)
        assert small.spec.n_tasks == 60
        before = service.store.count_tasks("huge").unfinished
        assert service.wait_until_ended("small").state is JobState.SUCCEEDED
        after = service.store.count_tasks("huge").unfinished
        service.store.cancel_job("huge", service.clock())
    # In order of completion: while 60 tasks were done, of those before them not many more were.
    assert after > 0
    assert before - after < 3_000
