"""Followers: one reader for all watchers of a job, whoever of them comes, goes, lags or fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from kmeans.v1 import job_pb2, job_service_pb2

from services.core.errors import StoreUnavailable
from services.core.jobs import Job, JobSpec, JobState
from services.gateway import followers
from services.gateway.followers import Follower, Step

JOB = Job("j", "", "t", JobSpec("d", ("a",)), JobState.RUNNING, 10, 0, datetime(2026, 1, 1, tzinfo=UTC))


class Changes:
    """A store of one job whose revision a test moves, and which counts how it is asked."""

    def __init__(self) -> None:
        self.revision = 1
        self.waiting = 0
        self.reads = 0
        self.most_waiting = 0
        self.failure: Exception | None = None
        self._changed = threading.Condition()

    def move(self, revision: int) -> None:
        with self._changed:
            self.revision = revision
            self._changed.notify_all()

    def wait(self, revision: int) -> int:
        with self._changed:
            self.waiting += 1
            self.most_waiting = max(self.most_waiting, self.waiting)
            self._changed.wait_for(lambda: self.revision > revision, 0.05)
            self.waiting -= 1
            if self.failure is not None:
                failure, self.failure = self.failure, None
                raise failure
            return self.revision

    def read(self, after: int) -> Step:
        self.reads += 1
        job = replace(JOB, revision=self.revision)
        message = job_service_pb2.WatchJobResponse(job=job_pb2.Job(revision=self.revision))
        return Step(after, job, (message,))


@pytest.fixture(name="changes")
def make_changes() -> Changes:
    return Changes()


@pytest.fixture(name="follower")
def make_follower(changes: Changes) -> Follower:
    return Follower(
        replace(JOB, revision=1),
        0.0,
        wait=changes.wait,
        read=changes.read,
        pause=lambda seconds: None,
        seconds=lambda: 0.0,
    )


@pytest.fixture(name="threads")
def make_threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as threads:
        yield threads


class Watcher:
    """Takes steps until the job is at a revision, or it is told to leave."""

    def __init__(self, follower: Follower, until: int) -> None:
        self.follower, self.until = follower, until
        self.event = threading.Event()
        self.gone = False
        self.seen = [1]
        follower.join(self.event)

    def run(self) -> list[int]:
        try:
            while self.seen[-1] < self.until:
                step = self.follower.next_step(self.seen[-1], self.event, lambda: not self.gone)
                if step is None:
                    break
                assert step.after <= self.seen[-1]
                self.seen.append(step.job.revision)
        finally:
            self.follower.leave(self.event)
        return self.seen

    def go(self) -> None:
        self.gone = True
        self.event.set()


def test_many_watchers_are_told_by_one_reader(
    follower: Follower, changes: Changes, threads: ThreadPoolExecutor
) -> None:
    watchers = [Watcher(follower, 5) for _ in range(30)]
    runs = [threads.submit(watcher.run) for watcher in watchers]
    for revision in range(2, 6):
        changes.move(revision)
    assert {run.result(20)[-1] for run in runs} == {5}
    assert changes.most_waiting == 1
    assert changes.reads <= 4


def test_a_reader_that_goes_or_fails_is_followed_by_another(
    follower: Follower, changes: Changes, threads: ThreadPoolExecutor
) -> None:
    watchers = [Watcher(follower, 2) for _ in range(3)]
    runs = [threads.submit(watcher.run) for watcher in watchers]
    watchers[0].go()
    assert runs[0].result(20) == [1]
    changes.failure = StoreUnavailable("The store does not answer.")
    failed = _first_failed(runs[1:])
    with pytest.raises(StoreUnavailable):
        failed.result(20)
    changes.move(2)
    (left,) = [run for run in runs[1:] if run is not failed]
    assert left.result(20) == [1, 2]
    assert follower.leave(threading.Event())


def test_a_reader_that_goes_is_not_followed_by_one_that_is_busy(
    follower: Follower, changes: Changes, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followers, "_MAX_IDLE_SECONDS", 3600.0)
    for _ in range(20):
        follower.join(threading.Event())
    watchers = [Watcher(follower, 2) for _ in range(3)]
    runs = [threads.submit(watcher.run) for watcher in watchers]
    for watcher, run in zip(watchers[:2], runs, strict=False):
        watcher.go()
        assert run.result(60) == [1]
    changes.move(2)
    assert runs[2].result(60) == [1, 2]


def test_who_fell_behind_is_told_to_read_for_itself(follower: Follower, changes: Changes) -> None:
    quick, slow = Watcher(follower, 100), threading.Event()
    follower.join(slow)
    for revision in range(2, 101):
        changes.move(revision)
        step = follower.next_step(revision - 1, quick.event, lambda: True)
        assert step is not None
        assert step.job.revision == revision
    behind = follower.next_step(1, slow, lambda: True)
    assert behind is not None
    assert behind.after > 1
    late = follower.next_step(98, slow, lambda: True)
    assert late is not None
    assert late.job.revision == 99


def _first_failed(runs: list[Future[list[int]]]) -> Future[list[int]]:
    failed: list[Future[list[int]]] = []
    found = threading.Event()

    def look(run: Future[list[int]]) -> None:
        if run.exception() is not None:
            failed.append(run)
            found.set()

    for run in runs:
        run.add_done_callback(look)
    assert found.wait(20)
    return failed[0]
