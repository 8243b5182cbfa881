"""A broker short of memory takes no messages; work that it has given out goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from services.core.errors import QueueUnavailable
from services.core.jobs import JobEvent, JobState
from services.core.tasks import TaskState
from tests.contract.test_queue import BUNDLES
from tests.integration.jobs.conftest import CountedFit, until
from tests.integration.rabbitmq.conftest import RabbitService
from tests.servers.rabbitmq import RabbitMQ


@contextmanager
def alarm(broker: RabbitMQ) -> Iterator[None]:
    broker.control("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        until(lambda: "memory" in broker.control("eval", "rabbit_alarm:get_alarms()."))
        yield
    finally:
        broker.control("set_vm_memory_high_watermark", "0.6")
        until(lambda: "memory" not in broker.control("eval", "rabbit_alarm:get_alarms()."))


def open_connections(broker: RabbitMQ) -> set[str]:
    return set(broker.control("list_connections", "pid").split())


def test_bundles_that_are_out_are_run_and_acknowledged(
    make_service: Callable[..., RabbitService], broker: RabbitMQ
) -> None:
    service = make_service()
    job = service.submit(n_experiments=40, announce=False)
    fit = CountedFit(gate=threading.Event())
    with service.worker(2, fit=fit), service.scheduling():
        assert fit.entered.wait(60)
        connections = open_connections(broker)
        with alarm(broker):
            claimed = service.store.count_tasks("j1")[TaskState.RUNNING]
            assert fit.gate is not None
            fit.gate.set()
            until(lambda: service.store.count_outstanding("j1", job.created_at) == 0)
            # The broker hands out the next bundle for the acknowledgement of the last.
            assert sum(task.state.is_terminal for task in service.tasks()) > claimed > 0
            assert open_connections(broker) == connections
            assert not service.store.get_job("j1").state.is_terminal
        assert service.wait_until_ended().state is JobState.SUCCEEDED
    assert fit.calls == len(service.tasks())
    assert all(task.attempts == 1 for task in service.tasks())


def test_whoever_publishes_hears_at_once_and_in_words(
    make_service: Callable[..., RabbitService], broker: RabbitMQ
) -> None:
    service = make_service()
    with alarm(broker):
        for _ in range(3):
            with pytest.raises(QueueUnavailable, match="takes no messages for now"):
                service.queue.publish_event(JobEvent("a"))
        with pytest.raises(QueueUnavailable, match="takes no messages for now"):
            service.queue.publish_bundles(BUNDLES)
        service.queue.ping()

    def is_taken() -> bool:
        try:
            service.queue.publish_bundles(BUNDLES[:1])
        except QueueUnavailable:
            return False
        return True

    until(is_taken)
    delivery = service.queue.open_bundle_consumer(1).receive(60.0)
    assert delivery is not None
    delivery.ack()
