"""The life of a job on real embedded backends and the real kernel."""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import pytest

from services.core.covariance import Covariance
from services.core.jobs import JobState
from services.core.planning import plan_tasks
from services.core.tasks import TaskState


def test_job_runs_to_the_end(service: Any) -> None:
    job = service.submit()
    ended = service.run()
    assert ended.state is JobState.SUCCEEDED
    assert {task.key for task in service.tasks()} == set(plan_tasks(job))
    assert service.all_fitted()
    assert all(task.attempts == 1 and task.seconds > 0 for task in service.tasks())
    model = service.store.get_model(service.tasks()[0].key)
    assert model.columns == ("a", "b")
    assert model.scale.shape == (2,)


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("order", [None, 3])
def test_results_are_the_same_bits_for_any_slots_and_order(
    service: Any, slots: int, order: int | None
) -> None:
    service.submit("j1")
    service.run("j1")
    if order is not None:
        service.queue.shuffle = random.Random(order)
    service.submit("j2")
    service.run("j2", slots=slots)
    assert service.fits("j2") == service.fits("j1")


def test_an_event_that_was_lost_is_found_by_the_sweep(service: Any) -> None:
    service.submit(announce=False)
    scheduler = service.scheduler()
    assert scheduler.handle_events() == 0
    assert service.store.get_job("j1").state is JobState.PENDING
    assert scheduler.sweep()
    assert service.store.get_job("j1").state is JobState.RUNNING
    assert service.run(scheduler=scheduler).state is JobState.SUCCEEDED


def test_job_whose_last_event_was_lost_is_closed_by_the_sweep(service: Any) -> None:
    service.submit(max_k=1, n_experiments=1)
    scheduler = service.scheduler()
    scheduler.handle_events()
    with service.worker():
        while not service.queue.receive_events(0.05):
            pass
    assert service.store.get_job("j1").state is JobState.RUNNING
    assert scheduler.sweep()
    assert service.store.get_job("j1").state is JobState.SUCCEEDED


def test_bundles_delivered_twice_run_once(service: Any, counted_fit: Any) -> None:
    job = service.submit()
    service.queue.copies = 2
    assert service.run(slots=3, fit=counted_fit).state is JobState.SUCCEEDED
    assert counted_fit.calls == job.spec.n_tasks
    assert all(task.attempts == 1 for task in service.tasks())


def test_two_schedulers_publish_every_task_once(service: Any, counted_fit: Any) -> None:
    job = service.submit(n_experiments=40)
    stop = threading.Event()
    schedulers = [
        threading.Thread(target=service.scheduler(holder_id=name).run, args=(stop,))
        for name in ("one", "two")
    ]
    with service.worker(slots=2, fit=counted_fit):
        for thread in schedulers:
            thread.start()
        revision = 0
        while not service.store.get_job("j1").state.is_terminal:
            revision = service.store.wait_for_change("j1", revision, 5.0)
        stop.set()
        for thread in schedulers:
            thread.join()
    published = [key for bundle in service.queue.published for key in bundle.keys]
    assert len(published) == len(set(published)) == job.spec.n_tasks
    assert counted_fit.calls == job.spec.n_tasks


def test_big_job_does_not_hold_up_a_small_one(service: Any) -> None:
    big = service.submit("big", n_experiments=100)
    scheduler = service.scheduler()
    scheduler.handle_events()
    service.submit("small", n_experiments=1)
    with service.worker():
        service.until_ended("small", scheduler)
        fitted = sum(task.state.is_terminal for task in service.tasks("big"))
        assert fitted < big.spec.n_tasks / 4
        assert service.until_ended("big", scheduler).state is JobState.SUCCEEDED


def test_jobs_that_wait_together_alternate(service: Any) -> None:
    scheduler = service.scheduler()
    for job_id in ("j1", "j2", "j3"):
        service.submit(job_id, n_experiments=50)
    scheduler.handle_events()
    turns = [bundle.job_id for bundle in service.queue.published]
    assert turns == ["j1", "j1", "j2", "j2", "j3", "j3"] * 2


def test_publish_window_is_kept(service: Any) -> None:
    service.submit(n_experiments=100)
    scheduler = service.scheduler()
    scheduler.handle_events()
    window = len(service.queue.published)
    assert window == 4
    for _ in range(5):
        service.announce()
        scheduler.handle_events()
        scheduler.sweep()
    assert len(service.queue.published) == window


def test_cancelled_job_writes_nothing_more(service: Any, counted_fit: Any) -> None:
    service.submit()
    scheduler = service.scheduler()
    counted_fit.gate = threading.Event()
    with service.worker(fit=counted_fit):
        scheduler.handle_events()
        assert counted_fit.entered.wait(30)
        service.store.cancel_job("j1", service.clock())
        counted_fit.gate.set()
        scheduler.handle_events()
    assert service.store.get_job("j1").state is JobState.CANCELLED
    assert {task.state for task in service.tasks()} == {TaskState.CANCELLED}
    assert all(task.result is None for task in service.tasks())


def test_cancelled_job_does_not_start(service: Any) -> None:
    service.submit()
    service.store.cancel_job("j1", service.clock())
    service.scheduler().handle_events()
    assert service.tasks() == ()
    assert service.queue.published == []


def test_deleted_job_leaves_the_line(service: Any) -> None:
    service.submit()
    service.store.cancel_job("j1", service.clock())
    service.store.delete_job("j1")
    assert service.scheduler().handle_events() == 1


def test_fits_that_cannot_be_become_errors_and_the_rest_goes_on(service: Any) -> None:
    service.upload("few", np.array([[0.0, 1.0], [2.0, 0.5], [1.0, 3.0]]))
    job = service.submit()
    few = service.store.insert_job(
        type(job)("j2", "", "j2", job.spec.__class__("few", ("a", "b"), max_k=5, n_experiments=1,
                                                      covariances=(Covariance.SPHER_TIED,)),
                  3, 0, service.clock())
    )  # fmt: skip
    service.announce("j2")
    assert service.run(few.id).state is JobState.FAILED
    states = {task.key.k: task.state for task in service.tasks("j2")}
    assert states[4] is states[5] is TaskState.ERROR
    assert TaskState.ERROR not in {states[1], states[2]}
    sentences = {task.error for task in service.tasks("j2") if task.state is TaskState.ERROR}
    assert sentences == {
        "data must have at least as many rows as clusters: 3 rows, 4 clusters. Lower n_clusters.",
        "data must have at least as many rows as clusters: 3 rows, 5 clusters. Lower n_clusters.",
    }
    assert all(task.attempts == 1 for task in service.tasks("j2"))
