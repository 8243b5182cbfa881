"""Bundles that wait for a worker do not pile up, however long it takes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from services.core.clock import utc_now
from services.core.jobs import JobState
from services.core.planning import publish_window
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
    for _ in range(20):
        hours += 1
        scheduler.sweep()
    # Two windows of each job, and what one turn adds.
    assert service.queue.waiting_bundles() <= 2 * (3 * publish_window(0))
    with service.worker(), service.scheduling():
        for job_id in ("j1", "j2"):
            assert service.wait_until_ended(job_id).state is JobState.SUCCEEDED
            assert all(task.attempts == 1 for task in service.tasks(job_id))
