"""The broker goes away and comes back while a job runs: nothing is lost, nothing is done twice."""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
from collections.abc import Callable

from services.core.errors import QueueUnavailable
from services.core.jobs import JobState
from services.core.planning import plan_tasks
from tests.integration.jobs.conftest import CountedFit, until
from tests.integration.rabbitmq.conftest import RabbitService
from tests.servers.rabbitmq import RabbitMQ


def run_disturbed(service: RabbitService, disturb: Callable[[], None]) -> CountedFit:
    """Run a job, and disturb it while a worker is in the middle of a bundle."""
    job = service.submit(announce=False)
    fit = CountedFit(gate=threading.Event())
    with service.worker(fit=fit), service.scheduling():
        assert fit.entered.wait(60)
        disturb()
        assert fit.gate is not None
        fit.gate.set()
        ended = service.wait_until_ended()
    assert ended.state is JobState.SUCCEEDED
    assert {task.key for task in service.tasks()} == set(plan_tasks(job))
    assert service.all_fitted()
    return fit


def is_down(service: RabbitService) -> bool:
    try:
        service.queue.ping()
    except QueueUnavailable:
        return True
    return False


def leads_to(broker: RabbitMQ, connected: socket.socket) -> bool:
    try:
        return bool(connected.getpeername()[1:2] == (broker.port("amqp"),))
    except OSError:
        return False  # closed, or never connected


def test_broker_stops_in_the_middle_of_a_bundle(
    make_service: Callable[..., RabbitService], broker: RabbitMQ
) -> None:
    service = make_service()

    def disturb() -> None:
        broker.stop()
        until(lambda: is_down(service))
        broker.start()
        until(lambda: not is_down(service))

    fit = run_disturbed(service, disturb)
    assert fit.calls == len(service.tasks())
    assert all(task.attempts == 1 for task in service.tasks())


def test_results_are_written_while_the_broker_is_down(
    make_service: Callable[..., RabbitService], broker: RabbitMQ
) -> None:
    service = make_service()
    job = service.submit(announce=False)
    fit = CountedFit(gate=threading.Event())
    with service.worker(fit=fit), service.scheduling():
        assert fit.entered.wait(60)
        # The queues are a second old. RabbitMQ would write only later which log belongs to which queue, and
        # a crash before that costs a queue its log and its leader (see `topology`): not what is tested here.
        broker.control("eval", "ok = dets:sync(ra_directory_reverse).")
        broker.kill()
        assert fit.gate is not None
        fit.gate.set()
        until(lambda: any(task.state.is_terminal for task in service.tasks()))
        broker.start()
        assert service.wait_until_ended().state is JobState.SUCCEEDED
    assert fit.calls == len(set(plan_tasks(job)))
    assert all(task.attempts == 1 for task in service.tasks())


def test_broker_comes_back_without_its_data(
    make_service: Callable[..., RabbitService], broker: RabbitMQ
) -> None:
    service = make_service(republish_seconds=1.0)
    fit = run_disturbed(service, lambda: broker.restart(wipe=True, kill=True))
    assert fit.calls == len(service.tasks())
    assert all(task.attempts == 1 for task in service.tasks())


def test_connections_are_cut(make_service: Callable[..., RabbitService], broker: RabbitMQ) -> None:
    service = make_service()

    def disturb() -> None:
        broker.control("close_all_connections", "cut by the test")

    fit = run_disturbed(service, disturb)
    assert fit.calls == len(service.tasks())
    assert all(task.attempts == 1 for task in service.tasks())


def test_calls_say_so_while_the_broker_is_down(
    make_service: Callable[..., RabbitService], broker: RabbitMQ
) -> None:
    service = make_service()
    consumer = service.queue.open_bundle_consumer(1)
    broker.stop()
    until(lambda: is_down(service))
    assert consumer.receive(0.01) is None
    assert service.queue.receive_events(0.01) == ()
    assert service.queue.receive_dead_bundles(0.01) == ()
    broker.start()
    until(lambda: not is_down(service))
    until(lambda: service.queue.slots() == 1)
    consumer.close()


def test_a_broker_that_answers_nothing_does_not_hold_up_the_end(
    make_service: Callable[..., RabbitService], broker: RabbitMQ
) -> None:
    service = make_service()
    process = broker.process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        service.queue.close()
        assert not any(thread.name == "rabbitmq-io" for thread in threading.enumerate())
        assert not any(type(each) is socket.socket and leads_to(broker, each) for each in gc.get_objects())
    finally:
        os.kill(process.pid, signal.SIGCONT)
