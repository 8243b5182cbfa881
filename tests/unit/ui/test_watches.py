"""Watches against a client that tells what the test says, when it says so."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import grpc
import pytest
from kmeans.v1 import job_pb2, job_service_pb2, report_pb2, task_pb2

from kmeans_client import KMeansError, Unreachable
from ui.watches import Watch, Watches

RUNNING = job_pb2.JOB_STATE_RUNNING
SUCCEEDED = job_pb2.JOB_STATE_SUCCEEDED
Step = job_service_pb2.WatchJobResponse
GONE = Unreachable(grpc.StatusCode.UNAVAILABLE, "UNREACHABLE", "No K-Means Service answers.")


class Told:
    """A client whose watch tells these steps; None ends it as a closed channel does."""

    def __init__(self) -> None:
        self.steps: queue.Queue[Step | Exception | None] = queue.Queue()
        self.closed = 0
        self.reports = 0
        self.answers = True

    def watch_job(self, name: str) -> Iterator[Step]:
        while (step := self.steps.get(timeout=30)) is not None:
            if isinstance(step, Exception):
                raise step
            yield step
            if step.job.state == SUCCEEDED:
                return

    def get_job(self, name: str) -> job_pb2.Job:
        if not self.answers:
            raise GONE
        return job_pb2.Job(name=name)

    def get_report(self, name: str) -> report_pb2.Report:
        self.reports += 1
        if not self.answers:
            raise GONE
        return report_pb2.Report(job=name)

    def close(self) -> None:
        self.closed += 1
        self.steps.put(None)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def step(revision: int, *done: int, state: job_pb2.JobState = RUNNING, total: int = 4) -> Step:
    tasks = [
        task_pb2.Task(
            name=f"jobs/a/tasks/{each}", experiment=each, covariance=1, state=task_pb2.TASK_STATE_DONE
        )
        for each in done
    ]
    counts = job_pb2.TaskCounts(done=revision, total=total)
    job = job_pb2.Job(name="jobs/a", revision=revision, state=state, task_counts=counts)
    return Step(job=job, tasks=tasks)


def test_steps_fold_into_one_picture(told: Told, clock: Clock) -> None:
    watch = Watch(lambda: told, "jobs/a", seconds=clock)  # type: ignore[arg-type, return-value]
    told.steps.put(step(1, 0))
    first = watch.live()
    assert first is not None
    assert first.tasks["task"].tolist() == ["jobs/a/tasks/0"]
    assert first.rate is None
    clock.now = 2.0
    told.steps.put(step(2, 1))
    told.steps.put(step(4, 1, 2, 3, state=SUCCEEDED))
    watch.join(30)
    last = watch.live()
    assert last is not None
    assert last.job.state == SUCCEEDED
    assert len(last.tasks) == 4
    assert last.rate == 1.5
    assert last.seconds_left == 0
    assert watch.live().tasks is last.tasks  # type: ignore[union-attr]
    assert told.closed == 1


def test_sessions_share_one_watch_and_it_ends_when_none_looks_on(told: Told, clock: Clock) -> None:
    opened = []

    def open_client() -> Told:
        opened.append(1)
        return told

    watches = Watches(open_client, idle_seconds=20, seconds=clock)  # type: ignore[arg-type]
    watch = watches.get("jobs/a")
    told.steps.put(step(1, 0))
    assert watch.live() is not None
    for clock.now in (5.0, 15.0, 24.0):
        assert watches.get("jobs/a") is watch
    assert len(opened) == 1
    clock.now = 43.0
    assert watches.close_idle() == 1
    assert told.closed == 0
    clock.now = 45.0
    assert watches.close_idle() == 0
    watch.join(30)
    assert told.closed == 2  # by the registry, and by the thread on its way out


def test_a_retry_and_a_broken_watch_begin_anew(clock: Clock) -> None:
    clients: list[Told] = []

    def open_client() -> Told:
        clients.append(Told())
        return clients[-1]

    watches = Watches(open_client, seconds=clock)  # type: ignore[arg-type]
    first = watches.get("jobs/a", 1)
    clients[0].steps.put(step(4, 0, state=SUCCEEDED))
    first.join(30)
    assert watches.get("jobs/a", 4) is first
    second = watches.get("jobs/a", 5)
    assert second is not first
    clients[1].steps.put(KMeansError(grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND", "There is no such job."))
    second.join(30)
    with pytest.raises(KMeansError, match="no such job"):
        second.live()
    assert watches.get("jobs/a", 5) is not second
    clients[2].close()


def test_nothing_is_known_before_the_first_word(told: Told) -> None:
    watch = Watch(lambda: told, "jobs/a")  # type: ignore[arg-type, return-value]
    assert watch.live(timeout_seconds=0.01) is None
    watch.close()
    watch.join(30)


def test_all_sessions_together_ask_for_a_report_now_and_then(told: Told, clock: Clock) -> None:
    clock.now = 100.0
    watch = Watch(lambda: told, "jobs/a", seconds=clock)  # type: ignore[arg-type, return-value]
    told.steps.put(step(1, 0))
    assert watch.live() is not None
    for _ in range(50):
        assert watch.report(told).job == "jobs/a"  # type: ignore[arg-type]
    assert told.reports == 1
    clock.now = 103.0
    watch.report(told)  # type: ignore[arg-type]
    assert told.reports == 1  # nothing has changed
    told.steps.put(step(4, state=SUCCEEDED))
    watch.join(30)
    watch.report(told)  # type: ignore[arg-type]
    assert told.reports == 2


def test_while_nobody_answers_the_last_picture_stays_without_a_guess(told: Told, clock: Clock) -> None:
    watch = Watch(lambda: told, "jobs/a", seconds=clock)  # type: ignore[arg-type, return-value]
    told.steps.put(step(1, 0))
    assert watch.live() is not None
    assert watch.report(told).job == "jobs/a"  # type: ignore[arg-type]
    told.answers = False
    clock.now = 10.0
    watch.look_for_service()
    away = watch.live()
    assert away is not None
    assert away.is_away
    assert (away.rate, away.seconds_left) == (None, None)
    assert away.job.revision == 1
    assert watch.report(told).job == "jobs/a"  # type: ignore[arg-type]
    told.answers = True
    watch.look_for_service()
    back = watch.live()
    assert back is not None
    assert not back.is_away
    watch.close()
    watch.join(30)


def test_a_watch_that_gave_up_is_begun_anew_and_knows_what_was_told(clock: Clock) -> None:
    clients: list[Told] = []

    def open_client() -> Told:
        clients.append(Told())
        return clients[-1]

    watches = Watches(open_client, seconds=clock)  # type: ignore[arg-type]
    first = watches.get("jobs/a")
    clients[0].steps.put(step(3, 0))
    assert first.live() is not None
    clients[0].steps.put(GONE)
    first.join(30)
    # Sessions look every second: not each look is another try.
    assert watches.get("jobs/a") is first
    clock.now = 2.0
    second = watches.get("jobs/a")
    assert second is not first
    away = second.live()
    assert away is not None
    assert away.is_away
    assert away.job.revision == 3
    clients[1].steps.put(step(4, 0, state=SUCCEEDED))
    second.join(30)
    last = second.live()
    assert last is not None
    assert (last.is_away, last.job.revision) == (False, 4)


def test_a_watch_that_broke_otherwise_says_so_and_can_be_tried_again(clock: Clock) -> None:
    clients: list[Told] = []

    def open_client() -> Told:
        clients.append(Told())
        return clients[-1]

    watches = Watches(open_client, seconds=clock)  # type: ignore[arg-type]
    broken = watches.get("jobs/a")
    clients[0].steps.put(step(1, 0))
    clients[0].steps.put(ZeroDivisionError("a mistake of ours"))
    broken.join(30)
    with pytest.raises(KMeansError, match="lost sight of this job"):
        broken.live()
    clock.now = 2.0
    again = watches.get("jobs/a")
    assert again is not broken
    clients[1].steps.put(step(2, 0, state=SUCCEEDED))
    again.join(30)
    assert again.live() is not None
