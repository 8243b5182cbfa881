"""Jobs whose tasks run in parts, on real embedded backends and the real kernel."""

from __future__ import annotations

import random
import threading
from datetime import timedelta
from typing import Any

import pytest

import ckernel
from services.core.jobs import JobState
from services.core.planning import plan_parts, plan_tasks
from services.core.tasks import TaskState

N_INIT = 5
SECONDS = 1e-6  # no task is so short: every start is a part


@pytest.fixture
def whole(service: Any) -> Any:
    """What the job gives when its tasks are run in one go."""
    service.submit("whole", n_init=N_INIT)
    assert service.run("whole").state is JobState.SUCCEEDED
    service.settings = service.settings.model_copy(update={"part_seconds": SECONDS})
    service.queue.published.clear()
    return service.fits("whole")


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("order", [None, 3])
def test_parts_give_the_same_bits(
    service: Any, whole: Any, counted_fit: Any, slots: int, order: int | None
) -> None:
    job = service.submit(n_init=N_INIT)
    if order is not None:
        service.queue.shuffle = random.Random(order)
    assert service.run(slots=slots, fit=counted_fit).state is JobState.SUCCEEDED
    assert service.fits() == whole
    assert counted_fit.calls == N_INIT * job.spec.n_tasks
    published = [key for bundle in service.queue.published for key in bundle.keys]
    assert len(published) == len(set(published))
    assert set(published) == set(plan_parts(job, SECONDS))
    assert {task.key for task in service.tasks()} == set(plan_tasks(job))
    assert service.store.count_tasks("j1").by_state == {
        state: sum(task.state is state for task in service.tasks())
        for state in {task.state for task in service.tasks()}
    }
    assert service.store.count_tasks("j1").total == job.spec.n_tasks
    assert all(task.attempts == 1 and task.seconds > 0 for task in service.tasks())


def test_parts_delivered_twice_run_once(service: Any, whole: Any, counted_fit: Any) -> None:
    job = service.submit(n_init=N_INIT)
    service.queue.copies = 2
    assert service.run(slots=3, fit=counted_fit).state is JobState.SUCCEEDED
    assert counted_fit.calls == N_INIT * job.spec.n_tasks
    assert service.fits() == whole


def test_a_worker_that_dies_on_a_part_costs_that_part_alone(
    service: Any, whole: Any, counted_fit: Any
) -> None:
    job = service.submit(n_init=N_INIT)
    scheduler = service.scheduler()
    scheduler.handle_events()
    dead = service.queue.open_bundle_consumer(1)
    keys = dead.receive(0.0).bundle.keys
    now = service.clock()
    assert service.store.claim_tasks(keys, "dead", now + timedelta(seconds=60), now) == keys
    lost = {key.whole for key in keys}
    with service.worker(slots=2, fit=counted_fit):
        while service.store.count_tasks("j1").unfinished > len(lost):
            scheduler.handle_events(0.05)
        service.clock.move(61)
        scheduler.sweep()
        assert service.until_ended("j1", scheduler).state is JobState.SUCCEEDED
    assert service.fits() == whole
    assert counted_fit.calls == N_INIT * job.spec.n_tasks
    assert {task.key for task in service.tasks() if task.attempts == 2} == lost
    assert {task.attempts for task in service.tasks()} == {1, 2}


def test_window_counts_parts(service: Any, whole: Any) -> None:
    service.settings = service.settings.model_copy(update={"bundle_seconds": SECONDS})
    service.submit(n_init=N_INIT, n_experiments=100)
    scheduler = service.scheduler()
    for _ in range(5):
        service.announce()
        scheduler.handle_events()
        scheduler.sweep()
    assert [len(bundle.keys) for bundle in service.queue.published] == [1] * 4


def test_cancelled_and_retried_parts_give_the_same_bits(service: Any, whole: Any, counted_fit: Any) -> None:
    service.submit(n_init=N_INIT)
    scheduler = service.scheduler()
    counted_fit.gate = threading.Event()
    with service.worker(fit=counted_fit):
        scheduler.handle_events()
        assert counted_fit.entered.wait(30)
        service.store.cancel_job("j1", service.clock())
        counted_fit.gate.set()
        scheduler.handle_events()
    assert {task.state for task in service.tasks()} == {TaskState.CANCELLED}
    service.clock.move(1)
    service.store.retry_tasks("j1", [task.key for task in service.tasks()], service.clock())
    service.announce()
    assert service.run(scheduler=scheduler).state is JobState.SUCCEEDED
    assert service.fits() == whole


def test_a_part_that_cannot_be_fitted_fails_its_task_alone(service: Any, whole: Any) -> None:
    job = service.submit(n_init=N_INIT)
    broken = threading.Event()

    def fit(data: Any, k: int, covariance: str, **options: Any) -> Any:
        if k == 3 and covariance == "full-untied" and options["first_start"] == 2 and not broken.is_set():
            broken.set()
            raise ValueError("No memory.")
        return ckernel.fit(data, k, covariance, **options)

    assert service.run(fit=fit).state is JobState.FAILED
    failed = [task for task in service.tasks() if task.state is TaskState.ERROR]
    assert [(task.key.k, task.error) for task in failed] == [(3, "No memory.")]
    assert len(service.tasks()) == job.spec.n_tasks
    service.clock.move(1)
    service.store.retry_tasks("j1", None, service.clock())
    service.announce()
    assert service.run().state is JobState.SUCCEEDED
    assert service.fits() == whole
