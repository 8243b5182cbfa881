"""A fit that takes longer than the broker waits for acknowledgements finishes once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from services.core.jobs import JobState
from tests.integration.jobs.conftest import CountedFit, until
from tests.integration.rabbitmq.conftest import RabbitService
from tests.servers.rabbitmq import RabbitMQ


@pytest.fixture(autouse=True)
def impatient_broker(broker: RabbitMQ) -> Iterator[None]:
    broker.start()
    broker.control("eval", "application:set_env(rabbit, consumer_timeout, 1000).")
    broker.control("eval", "application:set_env(rabbit, channel_tick_interval, 200).")
    yield
    broker.control("eval", "application:set_env(rabbit, consumer_timeout, 1800000).")
    broker.control("eval", "application:set_env(rabbit, channel_tick_interval, 60000).")


def test_the_only_worker_is_slower_than_the_broker_waits(make_service: Callable[..., RabbitService]) -> None:
    service = make_service()
    service.submit(announce=False)
    fit = CountedFit(gate=threading.Event())
    with service.worker(fit=fit), service.scheduling():
        assert fit.entered.wait(60)
        # The broker took the bundle back, and the slot does not ask for more while it computes.
        until(lambda: service.queue.slots() == 0)
        assert fit.gate is not None
        fit.gate.set()
        assert service.wait_until_ended().state is JobState.SUCCEEDED
        until(lambda: service.queue.slots() == 1)
    assert fit.calls == len(service.tasks())
    assert all(task.attempts == 1 for task in service.tasks())
    assert service.queue.receive_dead_bundles(0.0) == ()


def test_another_worker_gets_the_bundle_meanwhile(make_service: Callable[..., RabbitService]) -> None:
    service = make_service()
    service.submit(announce=False)
    slow, quick = CountedFit(gate=threading.Event()), CountedFit()
    with service.worker(fit=slow), service.scheduling():
        assert slow.entered.wait(60)
        with service.worker(fit=quick):
            until(lambda: service.queue.slots() == 1)
            running = service.store.count_tasks("j1").unfinished

            def only_the_slow_bundle_is_left() -> bool:
                return service.store.count_tasks("j1").unfinished == running

            until(only_the_slow_bundle_is_left)
            assert slow.gate is not None
            slow.gate.set()
            assert service.wait_until_ended().state is JobState.SUCCEEDED
    assert slow.calls + quick.calls == len(service.tasks())
    assert all(task.attempts == 1 for task in service.tasks())
    assert service.queue.receive_dead_bundles(0.0) == ()


def test_more_timeouts_than_the_delivery_limit_do_not_poison_a_bundle(
    make_service: Callable[..., RabbitService],
) -> None:
    service = make_service()
    service.submit(announce=False)
    slow, quick = CountedFit(gate=threading.Event()), CountedFit()
    with service.worker(fit=slow), service.scheduling():
        assert slow.entered.wait(60)
        for _ in range(6):
            with service.worker(fit=quick):
                until(lambda: service.queue.slots() == 1)
        assert slow.gate is not None
        slow.gate.set()
        assert service.wait_until_ended().state is JobState.SUCCEEDED
    assert all(task.attempts == 1 for task in service.tasks())
