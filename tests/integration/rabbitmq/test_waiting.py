"""Bundles that wait for a worker wait once, however long it takes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from services.core.clock import utc_now
from services.core.jobs import JobState
from tests.integration.jobs.conftest import until
from tests.integration.rabbitmq.conftest import RabbitService


def test_the_queue_does_not_grow_while_there_is_no_worker(
    make_service: Callable[..., RabbitService],
) -> None:
    service = make_service()
    hours = 0

    def clock() -> datetime:
        return utc_now() + timedelta(hours=hours)

    for job_id in ("j1", "j2"):
        service.submit(job_id, announce=False)
    scheduler = service.scheduler(clock=clock)
    scheduler.sweep()
    while scheduler.handle_events():
        pass
    published = service.queue.waiting_bundles()
    assert published
    for _ in range(5):
        hours += 1
        scheduler.sweep()
    until(lambda: service.queue.waiting_bundles() == published)
    with service.worker(), service.scheduling():
        for job_id in ("j1", "j2"):
            assert service.wait_until_ended(job_id).state is JobState.SUCCEEDED
            assert all(task.attempts == 1 for task in service.tasks(job_id))
