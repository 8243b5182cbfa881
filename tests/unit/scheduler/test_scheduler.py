"""The loop, against a store and a queue that do as they are told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from services.core.covariance import Covariance
from services.core.errors import DataLoss, NotFound, QueueUnavailable, StoreUnavailable
from services.core.jobs import Job, JobEvent, JobSpec, JobState
from services.core.ports import DeadBundle
from services.core.settings import Settings
from services.core.tasks import Bundle, TaskCounts, TaskKey, TaskState
from services.scheduler import Scheduler

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = Settings(worker_slots=1, sweep_seconds=0.001)
SPEC = JobSpec("d", ("a",), max_k=1, n_experiments=1, covariances=(Covariance.FULL_TIED,))
KEY = TaskKey("j", 0, 1, Covariance.FULL_TIED)


class Script:
    """A store and a queue in one: whatever a test does not set does nothing."""

    name = "q"
    is_shared = True

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.events: list[JobEvent] = []
        self.dead: list[DeadBundle] = []
        self.forgotten: list[DeadBundle] = []
        self.failed: list[tuple[Sequence[TaskKey], str]] = []
        self.published: list[Bundle] = []
        self.marked: list[TaskKey] = []
        self.calls: list[str] = []
        self.timeouts: list[float] = []
        self.held_by_others: set[str] = set()
        self.trouble: dict[str, Callable[[], None]] = {}

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if callable(found) and not name.startswith("_"):
            self.calls.append(name)
            self.trouble.get(name, lambda: None)()
        return found

    def add(self, job_id: str, **spec: Any) -> None:
        self.__dict__["jobs"][job_id] = Job(job_id, "", "", SPEC, 10, 0, NOW)

    def get_job(self, job_id: str) -> Job:
        if job_id not in self.jobs:
            raise NotFound("gone")
        return self.jobs[job_id]

    def unfinished_jobs(self) -> tuple[Job, ...]:
        return tuple(self.jobs.values())

    def start_job(self, job_id: str, keys: Sequence[TaskKey], now: datetime) -> Job:
        self.jobs[job_id] = Job(job_id, "", "", SPEC, 10, 0, NOW, JobState.RUNNING)
        return self.jobs[job_id]

    def fail_job(self, job_id: str, failure: str, now: datetime) -> Job:
        self.jobs[job_id] = Job(job_id, "", "", SPEC, 10, 0, NOW, JobState.FAILED, failure=failure)
        return self.jobs[job_id]

    def count_tasks(self, job_id: str) -> TaskCounts:
        return TaskCounts({TaskState.PENDING: self.jobs[job_id].spec.n_tasks})

    def count_outstanding(self, job_id: str, published_since: datetime) -> int:
        return sum(key.job_id == job_id for key in self.marked)

    def unpublished_tasks(self, job_id: str, published_before: datetime, limit: int) -> tuple[TaskKey, ...]:
        n_experiments = self.jobs[job_id].spec.n_experiments
        keys = (TaskKey(job_id, number, 1, Covariance.FULL_TIED) for number in range(n_experiments))
        return tuple(key for key in keys if key not in self.marked)[:limit]

    def mark_published(self, keys: Sequence[TaskKey], now: datetime) -> None:
        self.marked.extend(keys)

    def fail_tasks(self, keys: Sequence[TaskKey], error: str, now: datetime) -> tuple[TaskKey, ...]:
        self.failed.append((keys, error))
        return tuple(keys)

    def expire_leases(self, now: datetime, max_losses: int | None = None) -> tuple[str, ...]:
        return ()

    def suspect_tasks(self, job_id: str) -> tuple[TaskKey, ...]:
        return ()

    def acquire_lease(self, name: str, holder: str, until: datetime, now: datetime) -> bool:
        return name not in self.held_by_others

    def release_lease(self, name: str, holder: str) -> None: ...

    def remove_leases(self, ended_before: datetime) -> int:
        return 0

    def slots(self) -> int:
        return 1

    def publish_bundles(self, bundles: Sequence[Bundle]) -> None:
        self.published.extend(bundles)

    def receive_events(self, timeout_seconds: float) -> tuple[JobEvent, ...]:
        self.timeouts.append(timeout_seconds)
        events, self.events = tuple(self.events), []
        return events

    def receive_dead_bundles(self, timeout_seconds: float) -> tuple[DeadBundle, ...]:
        dead, self.dead = tuple(self.dead), []
        return dead

    def forget_dead_bundle(self, dead: DeadBundle) -> None:
        self.forgotten.append(dead)


@pytest.fixture
def script() -> Script:
    return Script()


def scheduler(script: Script, **options: Any) -> Scheduler:
    backends: Any = script
    settings = options.pop("settings", SETTINGS)
    return Scheduler(backends, backends, settings, clock=lambda: NOW, holder_id="me", **options)


def raising(error: Exception) -> Callable[[], None]:
    def trouble() -> None:
        raise error

    return trouble


def test_event_of_a_new_job_expands_and_publishes_it(script: Script) -> None:
    script.add("j")
    script.events = [JobEvent("j")]
    assert scheduler(script).handle_events() == 1
    assert script.jobs["j"].state is JobState.RUNNING
    assert script.published == [Bundle("j", (KEY,))]
    assert script.marked == [KEY]


def test_published_before_it_is_noted(script: Script) -> None:
    script.add("j")
    script.events = [JobEvent("j")]
    script.trouble["mark_published"] = raising(StoreUnavailable("down"))
    one = scheduler(script)
    with pytest.raises(StoreUnavailable):
        one.handle_events()
    assert len(script.published) == 1
    # As after a crash: it is published again, and noted then.
    script.trouble.clear()
    assert one.handle_events() == 1
    assert len(script.published) == 2
    assert script.marked == [KEY]


def test_failed_turn_loses_no_job(script: Script) -> None:
    for job_id in ("a", "b"):
        script.add(job_id)
    script.events = [JobEvent("a"), JobEvent("b")]
    script.trouble["get_job"] = raising(StoreUnavailable("down"))
    one = scheduler(script)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            one.handle_events()
    script.trouble.clear()
    assert one.handle_events() == 2
    assert {bundle.job_id for bundle in script.published} == {"a", "b"}


def test_job_that_cannot_be_advanced_does_not_hold_up_the_others(script: Script) -> None:
    for job_id in ("a", "b"):
        script.add(job_id)
    script.events = [JobEvent("a"), JobEvent("b")]
    troubles = iter([RuntimeError("a bug")])

    def once() -> None:
        error = next(troubles, None)
        if error is not None:
            raise error

    script.trouble["get_job"] = once
    assert scheduler(script).handle_events() == 2
    assert [bundle.job_id for bundle in script.published] == ["b"]


def test_job_held_by_another_scheduler_is_tried_again_soon(script: Script) -> None:
    script.add("j")
    script.events = [JobEvent("j")]
    script.held_by_others = {"publish:j"}
    one = scheduler(script)
    assert one.handle_events(5.0) == 1
    assert script.published == []
    script.held_by_others = set()
    assert one.handle_events(5.0) == 1
    assert len(script.published) == 1
    assert script.timeouts[0] == 5.0
    assert 0 < script.timeouts[1] < 1.0


def test_job_without_any_task_fails_with_a_sentence(script: Script) -> None:
    spec = JobSpec("d", ("a",), covariances=())
    script.jobs["j"] = Job("j", "", "", spec, 10, 0, NOW)
    script.events = [JobEvent("j")]
    scheduler(script).handle_events()
    assert script.jobs["j"].failure.startswith("The job has no task")


def test_a_job_with_more_to_publish_waits_for_one_that_comes_meanwhile(script: Script) -> None:
    script.jobs["huge"] = Job("huge", "", "", replace(SPEC, n_experiments=8), 10, 0, NOW, JobState.RUNNING)
    script.add("small")
    script.events = [JobEvent("huge")]

    def come() -> None:
        script.trouble.clear()
        script.events = [JobEvent("small")]

    script.trouble["publish_bundles"] = come
    scheduler(script, settings=SETTINGS.model_copy(update={"bundle_seconds": 1e-6})).handle_events()
    jobs = [bundle.job_id for bundle in script.published]
    assert jobs[:4] == ["huge", "huge", "small", "huge"]


def test_flood_of_events_leaves_room_for_the_sweep(script: Script) -> None:
    for index in range(100):
        script.add(f"j{index}")
        script.events.append(JobEvent(f"j{index}"))
    one = scheduler(script)
    assert one.handle_events() == 64
    assert one.handle_events() == 36


def test_one_of_two_schedulers_sweeps(script: Script) -> None:
    script.add("j")
    script.held_by_others = {"sweep:q"}
    assert not scheduler(script).sweep()
    assert script.published == []
    script.held_by_others = set()
    assert scheduler(script).sweep()
    assert len(script.published) == 1


def test_dead_bundle_is_told_to_the_store_even_after_an_outage(script: Script) -> None:
    other = TaskKey("j", 1, 1, Covariance.FULL_TIED)
    dead = script.dead = [
        DeadBundle(Bundle("j", (KEY,)), "No memory."),
        DeadBundle(Bundle("j", (other,)), "No disk."),
    ]
    script.trouble["fail_tasks"] = raising(StoreUnavailable("down"))
    one = scheduler(script)
    with pytest.raises(StoreUnavailable):
        one.sweep()
    assert script.forgotten == []
    # Another scheduler sweeps by now, and could not be handed them before this one goes.
    script.held_by_others = {"sweep:q"}
    script.trouble.clear()
    assert not one.sweep()
    assert script.forgotten == dead
    script.held_by_others = set()
    one.sweep()
    assert script.failed == [
        ((KEY,), "Given up after 4 deliveries: No memory."),
        ((other,), "Given up after 4 deliveries: No disk."),
    ]


def test_a_dead_bundle_of_a_damaged_job_stops_no_scheduler(script: Script) -> None:
    dead = script.dead = [DeadBundle(Bundle("j", (KEY,)), "It cannot be read.")]
    script.trouble["fail_tasks"] = raising(DataLoss("damaged"))
    assert scheduler(script).sweep()
    assert script.forgotten == dead


def test_a_bundle_that_no_worker_rejected_fails_no_task(script: Script) -> None:
    script.dead = [DeadBundle(Bundle("j", (KEY,)), "Its workers died.", was_rejected=False)]
    scheduler(script).sweep()
    assert script.failed == []


def test_outage_is_waited_out_with_growing_bounded_pauses(script: Script) -> None:
    stop = threading.Event()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 10:
            script.trouble.clear()
            script.trouble["receive_events"] = stop.set

    script.trouble["receive_events"] = raising(QueueUnavailable("down"))
    script.trouble["acquire_lease"] = raising(StoreUnavailable("down"))
    scheduler(script, pause=pause, jitter=lambda: 0.0).run(stop)
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


def test_unexpected_error_does_not_end_the_loop(script: Script) -> None:
    stop = threading.Event()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        script.trouble["receive_events"] = stop.set

    script.trouble["receive_events"] = raising(RuntimeError("a bug"))
    scheduler(script, pause=pause).run(stop)
    assert len(pauses) == 1


def test_sweep_lease_is_given_up_at_the_end(script: Script) -> None:
    stop = threading.Event()
    script.trouble["receive_events"] = stop.set
    script.trouble["release_lease"] = raising(StoreUnavailable("down"))
    scheduler(script).run(stop)
    assert script.calls[-1] == "release_lease"


def test_nothing_to_do_is_no_turn(script: Script) -> None:
    assert scheduler(script).handle_events() == 0
    script.events = [JobEvent("deleted")]
    assert scheduler(script).handle_events() == 1
    assert script.published == []
