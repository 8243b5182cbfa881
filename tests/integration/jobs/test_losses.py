"""What dies or gets lost on the way: nothing is lost, nothing counted twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from typing import Any, BinaryIO

import pytest

import ckernel
from services.core.covariance import Covariance
from services.core.datasets import table_key
from services.core.errors import ObjectsUnavailable
from services.core.jobs import JobState
from services.core.planning import plan_tasks, publish_window
from services.core.tasks import TaskState
from services.worker.fitting import fit_task
from services.worker.matrices import MatrixKey, open_matrix


class FaultyObjects:
    """An object store that answers with this error while `down`."""

    def __init__(self, objects: Any, error: Exception) -> None:
        self._objects = objects
        self._error = error
        self.down = True
        self.opened = 0

    def open(self, key: str) -> AbstractContextManager[BinaryIO]:
        self.opened += 1
        if self.down:
            raise self._error
        found: AbstractContextManager[BinaryIO] = self._objects.open(key)
        return found


def lose_all_bundles(service: Any) -> None:
    thief = service.queue.open_bundle_consumer(1)
    while (delivery := thief.receive(0.0)) is not None:
        delivery.ack()
    thief.close()


def test_tasks_of_a_dead_worker_are_finished_by_another_and_counted_once(service: Any) -> None:
    job = service.submit()
    scheduler = service.scheduler()
    scheduler.handle_events()
    # It claims a bundle, fits a task, and is never heard of again.
    dead = service.queue.open_bundle_consumer(1)
    bundle = dead.receive(0.0).bundle
    now = service.clock()
    claimed = service.store.claim_tasks(bundle.keys, "dead", now + timedelta(seconds=60), now)
    assert claimed == bundle.keys
    late = fit_task(open_matrix(service.objects, MatrixKey.of(job.spec)), job.spec, claimed[0])

    with service.worker():
        while sum(task.state.is_terminal for task in service.tasks()) < job.spec.n_tasks - len(claimed):
            scheduler.handle_events(0.05)
        scheduler.sweep()
        assert service.store.count_tasks("j1")[TaskState.RUNNING] == len(claimed)
        service.clock.move(61)
        scheduler.sweep()
        assert service.until_ended("j1", scheduler).state is JobState.SUCCEEDED

    assert {task.attempts for task in service.tasks() if task.key in claimed} == {2}
    assert {task.attempts for task in service.tasks() if task.key not in claimed} == {1}
    assert service.store.finish_tasks("dead", [replace(late, seconds=99.0)], service.clock()) == ()
    assert service.store.get_task(claimed[0]).seconds < 99.0
    assert service.store.get_task(claimed[0]).result == late.result


def test_bundles_of_a_queue_that_died_with_its_process_are_published_again(service: Any) -> None:
    service.submit()
    service.scheduler().handle_events()
    lost = list(service.queue.published)
    assert lost
    service.queue.close()

    service.clock.move(0.001)
    service.queue = type(service.queue)()
    restarted = service.scheduler()
    restarted.sweep()
    assert service.queue.published[: len(lost)] == lost
    assert service.run(scheduler=restarted).state is JobState.SUCCEEDED
    assert all(task.attempts == 1 for task in service.tasks())


def test_a_shared_queue_is_given_time_before_its_bundles_count_as_lost(service: Any) -> None:
    service.queue.shared = True
    service.submit(max_k=1)
    service.scheduler().handle_events()
    published = list(service.queue.published)
    assert sum(len(bundle.keys) for bundle in published) == len(service.tasks())
    lose_all_bundles(service)

    restarted = service.scheduler()
    service.clock.move(service.settings.republish_seconds)
    restarted.sweep()
    assert service.queue.published == published
    service.clock.move(0.001)
    restarted.sweep()
    assert service.queue.published == published * 2


def test_bundles_that_wait_for_a_worker_are_published_again_but_a_few_times(service: Any) -> None:
    service.queue.shared = True
    for job_id in ("j1", "j2", "j3"):
        service.submit(job_id, max_k=4, covariances=tuple(Covariance))
    scheduler = service.scheduler()
    while scheduler.handle_events():
        pass
    waiting = service.queue.waiting_bundles()
    assert waiting > 3
    for _ in range(20):
        service.clock.move(service.settings.republish_seconds)
        scheduler.sweep()
    # Two windows of each job, and what one turn adds, however long it takes.
    assert service.queue.waiting_bundles() <= 3 * (2 * publish_window(service.queue.slots()) + waiting)
    with service.worker():
        for job_id in ("j1", "j2", "j3"):
            assert service.until_ended(job_id, scheduler).state is JobState.SUCCEEDED
            assert all(task.attempts == 1 for task in service.tasks(job_id))


def test_the_last_part_of_a_task_is_published_again_when_its_bundle_was_lost(service: Any) -> None:
    service.queue.shared = True
    service.settings = service.settings.model_copy(update={"part_seconds": 1e-6})
    job = service.submit(max_k=2, n_experiments=1, covariances=(Covariance.FULL_UNTIED,), n_init=4)
    scheduler = service.scheduler()
    while scheduler.handle_events():
        pass
    parts = [key for bundle in service.queue.published for key in bundle.keys]
    assert all(key.is_part for key in parts)
    last = {key.whole: key for key in parts}
    # All others have ended: their tasks are RUNNING, though nothing of them runs.
    lose_all_bundles(service)
    rest = tuple(key for key in parts if last[key.whole] != key)
    service.store.claim_tasks(rest, "a", service.clock() + timedelta(seconds=60), service.clock())
    matrix = open_matrix(service.objects, MatrixKey.of(job.spec))
    service.store.finish_tasks(
        "a", [fit_task(matrix, job.spec, key, fit=ckernel.fit) for key in rest], service.clock()
    )
    service.clock.move(2 * service.settings.republish_seconds)
    scheduler.sweep()
    assert service.run(scheduler=scheduler).state is JobState.SUCCEEDED


def test_what_one_job_has_lost_is_published_again_beside_what_waits_of_others(service: Any) -> None:
    service.queue.shared = True
    service.submit("j1")
    scheduler = service.scheduler()
    scheduler.handle_events()
    lost = list(service.queue.published)
    lose_all_bundles(service)
    service.clock.move(2 * service.settings.republish_seconds)
    service.submit("j2")
    scheduler.handle_events()
    assert service.queue.waiting_bundles() >= len(lost)
    # A sweep to look at every job, and one that has seen them all.
    for _ in range(2):
        scheduler.sweep()
    assert [bundle for bundle in service.queue.published if bundle.job_id == "j1"] == 2 * lost


def test_poison_bundle_fails_the_job_and_a_retry_mends_it(service: Any) -> None:
    job = service.submit(max_k=2, n_experiments=1)
    scheduler = service.scheduler()
    faulty = FaultyObjects(service.objects, RuntimeError("a bug"))
    with service.worker(objects=faulty):
        scheduler.handle_events()
        while not service.store.get_job("j1").state.is_terminal:
            scheduler.handle_events(0.05)
            scheduler.sweep()
        assert service.store.get_job("j1").state is JobState.FAILED
        assert {task.state for task in service.tasks()} == {TaskState.ERROR}
        assert {task.error for task in service.tasks()} == {
            "Given up after 4 deliveries: RuntimeError: a bug"
        }
        # What goes back to the queue is not published beside it: copies would multiply with every failure.
        published = [key for bundle in service.queue.published for key in bundle.keys]
        assert len(published) == len(set(published)) == job.spec.n_tasks

        faulty.down = False
        service.store.retry_tasks("j1", None, service.clock())
        service.announce()
        assert service.until_ended("j1", scheduler).state is JobState.SUCCEEDED
    assert len(service.tasks()) == job.spec.n_tasks


def test_a_job_waits_for_the_object_store_however_long_it_is_away(service: Any, until: Any) -> None:
    service.submit(max_k=2, n_experiments=1)
    scheduler = service.scheduler()
    faulty = FaultyObjects(service.objects, ObjectsUnavailable("The object store does not answer."))
    with service.worker(objects=faulty):
        scheduler.handle_events()
        # Each delivery tries eight times.
        until(lambda: faulty.opened > 8 * 3 * (service.settings.delivery_limit + 1))
        scheduler.sweep()
        assert service.store.get_job("j1").state is JobState.RUNNING
        faulty.down = False
        assert service.until_ended("j1", scheduler).state is JobState.SUCCEEDED
    assert service.all_fitted()


def test_fits_that_find_no_memory_fail_after_so_many_tries_and_a_retry_mends_them(service: Any) -> None:
    job = service.submit(max_k=3, n_experiments=1)
    scheduler = service.scheduler()
    tries: list[int] = []
    has_room = False

    def fit(data: Any, k: int, *arguments: Any, **options: Any) -> Any:
        if k == 2 and not has_room:
            tries.append(k)
            raise MemoryError
        return ckernel.fit(data, k, *arguments, **options)

    with service.worker(fit=fit):
        while not service.store.get_job("j1").state.is_terminal:
            scheduler.handle_events(0.05)
            scheduler.sweep()
        for task in service.tasks():
            assert (task.state is TaskState.ERROR) == (task.key.k == 2)
        (sentence,) = {task.error for task in service.tasks() if task.key.k == 2}
        assert sentence.startswith("Given up after 4 deliveries: a worker ran out of memory.")
        assert "90 rows by 2 columns" in sentence
        guilty = len(job.spec.covariances)
        assert len(tries) == guilty * (service.settings.delivery_limit + 1)

        has_room = True
        service.store.retry_tasks("j1", None, service.clock())
        service.announce()
        assert service.until_ended("j1", scheduler).state is JobState.SUCCEEDED


def test_short_outage_of_the_object_store_costs_nothing(service: Any) -> None:
    service.submit()
    faulty = FaultyObjects(service.objects, ObjectsUnavailable("The object store does not answer."))

    def pause(seconds: float) -> None:
        faulty.down = faulty.opened < 5

    ended = service.run(objects=faulty, pause=pause)
    assert ended.state is JobState.SUCCEEDED
    assert all(task.attempts == 1 for task in service.tasks())


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [("missing", "There is no object"), ("cut", "damaged")],
)
def test_dataset_that_cannot_be_read_fails_every_task_at_once(
    service: Any, damage: str, sentence: str
) -> None:
    service.submit()
    service.objects.delete(table_key("d1"))
    if damage == "cut":
        service.objects.put(table_key("d1"), [b"PAR1 no table"])
    assert service.run().state is JobState.FAILED
    assert {task.state for task in service.tasks()} == {TaskState.ERROR}
    assert {task.attempts for task in service.tasks()} == {1}
    assert all(task.error for task in service.tasks())


def test_stop_lets_the_fit_end_and_hands_back_the_rest(service: Any, counted_fit: Any, until: Any) -> None:
    service.settings = service.settings.model_copy(update={"bundle_seconds": 1.0})
    job = service.submit(max_k=5, covariances=tuple(Covariance))
    scheduler = service.scheduler()
    scheduler.handle_events()
    counted_fit.gate = threading.Event()
    with service.worker(fit=counted_fit) as worker:
        assert counted_fit.entered.wait(30)
        stopping = threading.Thread(target=worker.stop, args=(60.0,))
        stopping.start()
        until(lambda: worker.is_stopping)
        counted_fit.gate.set()
        stopping.join()
    counts = service.store.count_tasks("j1")
    assert counted_fit.calls == 1
    assert counts[TaskState.RUNNING] == 0
    assert counts[TaskState.PENDING] == job.spec.n_tasks - 1
    assert service.queue.slots() == 0

    assert service.run(scheduler=scheduler, fit=counted_fit).state is JobState.SUCCEEDED
    assert counted_fit.calls == job.spec.n_tasks


def test_worker_that_stops_takes_nothing_more_while_its_last_fit_goes_on(
    service: Any, counted_fit: Any, until: Any
) -> None:
    service.submit(max_k=1, n_experiments=1, covariances=(Covariance.FULL_TIED,))
    scheduler = service.scheduler()
    scheduler.handle_events()
    counted_fit.gate = threading.Event()
    with service.worker(2, fit=counted_fit) as worker, ThreadPoolExecutor(1) as threads:
        assert counted_fit.entered.wait(30)
        stopped = threads.submit(worker.stop, 30.0)
        until(lambda: service.queue.slots() == 0)
        service.submit("j2")
        scheduler.handle_events()
        with service.worker():
            assert service.until_ended("j2", scheduler).state is JobState.SUCCEEDED
        assert not stopped.done()
        counted_fit.gate.set()
        assert stopped.result(30)
    assert service.until_ended("j1", scheduler).state is JobState.SUCCEEDED


def test_fit_that_outlasts_the_grace_is_handed_on_and_its_result_refused(
    service: Any, counted_fit: Any, until: Any
) -> None:
    job = service.submit(max_k=1, n_experiments=1, covariances=(Covariance.FULL_TIED,))
    (key,) = plan_tasks(job)
    scheduler = service.scheduler()
    scheduler.handle_events()
    counted_fit.gate = threading.Event()
    with service.worker(fit=counted_fit) as worker:
        assert counted_fit.entered.wait(30)
        assert not worker.stop(0.0)
        assert service.store.get_task(key).state is TaskState.PENDING
        assert service.run(scheduler=scheduler).state is JobState.SUCCEEDED
        before = service.store.get_task(key)
        counted_fit.gate.set()
        until(lambda: not any(t.name.startswith("worker-slot") for t in threading.enumerate()))
    assert service.store.get_task(key) == before
    assert before.attempts == 2
