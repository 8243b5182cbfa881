"""Watches through a real channel, while the test does to the store what workers do."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from kmeans.v1 import dataset_pb2, job_pb2, job_service_pb2, job_service_pb2_grpc, task_pb2

from kmeans_client import Client, KMeansError, has_ended, watching
from kmeans_client.errors import decode, translated
from services.core.clock import utc_now
from services.gateway.server import Gateway
from services.gateway.watching import Watching
from tests.integration.gateway.conftest import PLAIN

Step = job_service_pb2.WatchJobResponse


def request(name: str, after_revision: int = 0, job_only: bool = False) -> job_service_pb2.WatchJobRequest:
    return job_service_pb2.WatchJobRequest(name=name, after_revision=after_revision, job_only=job_only)


def until(steps: Iterator[Step], is_so: Callable[[Step], bool]) -> list[Step]:
    seen = []
    for step in steps:
        seen.append(step)
        if is_so(step):
            return seen
    raise AssertionError("the watch ended before that")


def latest(steps: list[Step]) -> dict[str, task_pb2.Task]:
    return {task.name: task for step in steps for task in step.tasks}


@pytest.fixture(name="name")
def make_job(client: Client, dataset: dataset_pb2.Dataset) -> str:
    return client.create_job(job_pb2.JobSpec(dataset=dataset.name, max_k=2, n_experiments=2)).job.name


def test_a_watch_tells_everything_from_the_first_to_the_last(
    jobs: Any, client: Client, bench: Any, done: Any, name: str
) -> None:
    steps = jobs.WatchJob(request(name), timeout=30)
    first = next(steps)
    assert first.job == client.get_job(name)
    assert not first.tasks
    keys = bench.start(name)
    seen = until(steps, lambda step: len(step.tasks) == len(keys))
    assert seen[-1].job.state == job_pb2.JOB_STATE_RUNNING
    bench.finish(keys[:10], done)
    seen += until(steps, lambda step: step.job.task_counts.done == 10)
    bench.finish(keys[10:], done)
    bench.close(name)
    seen += list(steps)
    assert seen[-1].job == client.get_job(name)
    assert has_ended(seen[-1].job)
    assert not any(step.more for step in seen)
    revisions = [step.job.revision for step in seen]
    assert revisions == sorted(set(revisions))
    assert latest(seen) == {task.name: task for task in client.list_tasks(name)}
    assert all(task.revision <= step.job.revision for step in seen for task in step.tasks)


def test_a_watch_resumes_after_a_revision(jobs: Any, bench: Any, done: Any, name: str) -> None:
    keys = bench.start(name)
    bench.finish(keys[:3], done)
    seen_revision = bench.job(name).revision
    bench.finish(keys[3:5], done)
    steps = jobs.WatchJob(request(name, seen_revision), timeout=30)
    first = next(steps)
    steps.cancel()
    assert {task.name for task in first.tasks} == {f"{name}/tasks/{key.short_id}" for key in keys[3:5]}
    steps = jobs.WatchJob(request(name, first.job.revision), timeout=30)
    assert not next(steps).tasks
    steps.cancel()


def test_an_ended_job_is_told_in_one_go(jobs: Any, bench: Any, done: Any, name: str) -> None:
    bench.finish(bench.start(name), done)
    bench.close(name)
    (step,) = jobs.WatchJob(request(name), timeout=30)
    assert len(step.tasks) == 24
    (step,) = jobs.WatchJob(request(name, job_only=True), timeout=30)
    assert not step.tasks
    (step,) = jobs.WatchJob(request(name, step.job.revision), timeout=30)
    assert not step.tasks
    assert has_ended(step.job)


def test_many_tasks_come_in_steps_that_say_there_is_more(
    jobs: Any, client: Client, bench: Any, dataset: dataset_pb2.Dataset
) -> None:
    name = client.create_job(job_pb2.JobSpec(dataset=dataset.name, max_k=11, n_experiments=20)).job.name
    keys = bench.start(name)
    client.cancel_job(name)
    steps = list(jobs.WatchJob(request(name), timeout=30))
    assert [(len(step.tasks), step.more) for step in steps] == [(500, True), (500, True), (320, False)]
    assert len({step.job.revision for step in steps}) == 1
    assert len(latest(steps)) == len(keys)


def test_steps_that_would_not_fit_into_a_message_are_split(
    jobs: Any, bench: Any, failed: Any, name: str
) -> None:
    keys = bench.start(name)
    bench.finish(keys, lambda key: replace(failed(key), error="x" * 300_000))
    bench.close(name)
    steps = list(jobs.WatchJob(request(name), timeout=30))
    assert [step.more for step in steps] == [True] * (len(steps) - 1) + [False]
    assert len(latest(steps)) == len(keys)


class Pauses(threading.Event):
    """Stands for a gateway's `stopping`: does some work in every pause of a watch, and takes no time."""

    def __init__(self, work: Iterator[None]) -> None:
        super().__init__()
        self.seconds: list[float | None] = []
        self._work = work

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        next(self._work, None)
        return self.is_set()


class Listening:
    """Stands for the context of a call whose client stays."""

    def is_active(self) -> bool:
        return True

    def check_welcome(self) -> None:
        return

    def add_callback(self, callback: Callable[[], None]) -> bool:
        return True


@pytest.mark.parametrize(("step_seconds", "pause_seconds"), [(0.0, 0.1), (0.04, 0.06), (5.0, 0.0)])
def test_changes_that_come_fast_are_told_together(
    backends: Any, bench: Any, done: Any, name: str, step_seconds: float, pause_seconds: float
) -> None:
    keys = bench.start(name)

    def work() -> Iterator[None]:
        for first in range(0, 24, 8):
            for key in keys[first : first + 8]:
                bench.finish([key], done)
            if first == 16:
                bench.close(name)
            yield

    pauses, readings = Pauses(work()), itertools.count()
    watching = Watching(backends.store, pauses, seconds=lambda: next(readings) * step_seconds)
    seen = list(watching.follow(bench.job(name), 0, job_only=False, listener=Listening()))
    assert [len(step.tasks) for step in seen] == [24, 8, 8, 8]
    assert pauses.seconds == pytest.approx([pause_seconds] * 3)
    assert latest(seen).keys() == {f"{name}/tasks/{key.short_id}" for key in keys}
    assert all(task.state == task_pb2.TASK_STATE_DONE for task in latest(seen).values())


def test_a_client_that_leaves_frees_its_thread(jobs: Any, name: str, settle: Any, settings: Any) -> None:
    watches = [jobs.WatchJob(request(name), timeout=30) for _ in range(settings.max_watches)]
    for watch in watches:
        next(watch)
    with pytest.raises(KMeansError) as refused, translated("here"):
        next(jobs.WatchJob(request(name), timeout=30))
    assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.value.reason == "TOO_MANY_STREAMS"
    assert jobs.GetJob(job_service_pb2.GetJobRequest(name=name), timeout=5).name == name
    watches[0].cancel()

    def is_free() -> bool:
        watch = jobs.WatchJob(request(name), timeout=30)
        try:
            next(watch)
        except grpc.RpcError:
            return False
        watch.cancel()
        return True

    settle(is_free)
    for watch in watches:
        watch.cancel()


def test_a_deadline_ends_a_watch(jobs: Any, name: str) -> None:
    steps = jobs.WatchJob(request(name), timeout=0.3)
    next(steps)
    with pytest.raises(grpc.RpcError) as ended:
        next(steps)
    assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_job_deleted_meanwhile_ends_its_watch(jobs: Any, client: Client, backends: Any, name: str) -> None:
    steps = jobs.WatchJob(request(name), timeout=30)
    next(steps)
    backends.store.cancel_job(name.removeprefix("jobs/"), utc_now())
    backends.store.delete_job(name.removeprefix("jobs/"))
    with pytest.raises(KMeansError) as ended, translated("here"):
        list(steps)
    assert ended.value.reason == "JOB_NOT_FOUND"


def test_wrong_watches_are_refused(jobs: Any, name: str) -> None:
    for wrong, code in (
        (request(name, -1), grpc.StatusCode.INVALID_ARGUMENT),
        (request("jobs/"), grpc.StatusCode.INVALID_ARGUMENT),
        (request("jobs/none"), grpc.StatusCode.NOT_FOUND),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            next(jobs.WatchJob(wrong, timeout=30))
        assert refused.value.code() is code


def test_a_gateway_that_stops_sends_its_watchers_away(jobs: Any, gateway: Gateway, name: str) -> None:
    steps = jobs.WatchJob(request(name), timeout=30)
    next(steps)
    # A grace longer than the watch's own deadline: only a watch that is sent away ends with our reason.
    stopper = threading.Thread(target=gateway.stop, args=(3600,))
    stopper.start()
    with pytest.raises(grpc.RpcError) as ended:
        next(steps)
    assert decode(ended.value, "here").reason == "SHUTTING_DOWN"
    stopper.join(30)
    assert not stopper.is_alive()


def test_the_client_goes_on_when_the_gateway_comes_back(
    client: Client,
    gateway: Gateway,
    backends: Any,
    bench: Any,
    done: Any,
    settings: Any,
    port: int,
    name: str,
) -> None:
    keys = bench.start(name)
    steps = client.watch_job(name)
    seen = [next(steps)]
    bench.finish(keys[:10], done)
    gateway.stop(0)
    bench.finish(keys[10:], done)
    bench.close(name)
    successor = Gateway(backends.store, backends.queue, backends.objects, settings)
    try:
        successor.start(f"127.0.0.1:{port}")
        seen += list(steps)
    finally:
        successor.stop(0)
    assert has_ended(seen[-1].job)
    assert all(task.state == task_pb2.TASK_STATE_DONE for task in latest(seen).values())
    assert len(latest(seen)) == len(keys)


def test_the_client_goes_on_when_a_busy_gateway_has_a_place_again(
    jobs: Any, gateway: Gateway, backends: Any, bench: Any, done: Any, settings: Any, port: int, name: str
) -> None:
    keys = bench.start(name)
    pauses: list[float] = []
    others: list[Any] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if seconds >= 5:  # as a gateway says whose places are all taken
            others[0].cancel()
        threading.Event().wait(0.05)

    steps = watching.watch(jobs, "here", request(name), max_resumes=1000, sleep=pause)
    seen = [next(steps)]
    gateway.stop(0)
    successor = Gateway(backends.store, backends.queue, backends.objects, settings)
    try:
        address = f"127.0.0.1:{successor.start(f'127.0.0.1:{port}')}"
        with grpc.insecure_channel(address, options=PLAIN) as channel:
            stub = job_service_pb2_grpc.JobServiceStub(channel)
            others += [stub.WatchJob(request(name), timeout=60) for _ in range(settings.max_watches)]
            for other in others:
                next(other)
            seen.append(next(steps))
            bench.finish(keys, done)
            bench.close(name)
            seen += list(steps)
    finally:
        successor.stop(0)
    assert max(pauses) >= 5
    assert has_ended(seen[-1].job)
    assert len(latest(seen)) == len(keys)
