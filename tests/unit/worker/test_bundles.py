"""One bundle, against a store and a queue that do as they are told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

import ckernel
from services.core.covariance import Covariance
from services.core.errors import (
    DataLoss,
    NotFound,
    ObjectsUnavailable,
    QueueUnavailable,
    ServiceError,
    StoreUnavailable,
)
from services.core.jobs import Job, JobEvent, JobSpec, JobState
from services.core.planning import plan_tasks
from services.core.tasks import Bundle, TaskKey, TaskOutcome, TaskState
from services.tables import Matrix
from services.worker.bundles import BundleRunner
from services.worker.exclusive import Gate
from services.worker.fitting import out_of_memory
from services.worker.leases import LeaseKeeper
from services.worker.matrices import MatrixCache, MatrixKey
from tests.integration.jobs.conftest import until

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = JobSpec("d", ("a",), max_k=3, n_experiments=1, n_init=1, covariances=(Covariance.SPHER_TIED,))
JOB = Job("j", "", "", SPEC, 30, 0, NOW, JobState.RUNNING)
KEYS = tuple(plan_tasks(JOB))


class Script:
    """Store, queue and delivery in one. Errors set for a method are raised by its next calls, in order."""

    def __init__(self) -> None:
        self.job: Job | None = JOB
        self.claimable: tuple[TaskKey, ...] = KEYS
        self.running: set[TaskKey] = set()
        self.written: list[TaskOutcome] = []
        self.settled: list[str] = []
        self.announced: list[str] = []
        self.released = 0
        self.renewals = 0
        self.errors: dict[str, list[ServiceError]] = {}
        self.bundle = Bundle("j", KEYS)
        self.redelivered = False
        self.suspects: tuple[TaskKey, ...] = ()

    def _fail(self, name: str) -> None:
        if self.errors.get(name):
            raise self.errors[name].pop(0)

    def get_job(self, job_id: str) -> Job:
        self._fail("get_job")
        if self.job is None:
            raise NotFound("gone")
        return self.job

    def claim_tasks(self, keys: Sequence[TaskKey], *_arguments: Any) -> tuple[TaskKey, ...]:
        self._fail("claim_tasks")
        self.running = set(keys) & set(self.claimable)
        return tuple(key for key in keys if key in self.running)

    def suspect_tasks(self, job_id: str) -> tuple[TaskKey, ...]:
        return self.suspects

    def renew_lease(self, attempt_id: str, lease_until: datetime) -> int:
        self.renewals += 1
        return len(self.running)

    def finish_tasks(
        self, attempt_id: str, outcomes: Sequence[TaskOutcome], now: datetime
    ) -> tuple[TaskKey, ...]:
        self._fail("finish_tasks")
        mine = [outcome for outcome in outcomes if outcome.key in self.running]
        self.written += mine
        self.running -= {outcome.key for outcome in mine}
        return tuple(outcome.key for outcome in mine)

    def release_tasks(self, attempt_id: str, now: datetime) -> tuple[TaskKey, ...]:
        self.released += 1
        self._fail("release_tasks")
        self.running = set()
        return ()

    def publish_event(self, event: JobEvent) -> None:
        self._fail("publish_event")
        self.announced.append(event.job_id)

    def ack(self) -> None:
        self.settled.append("ack")

    def requeue(self) -> None:
        self.settled.append("requeue")

    def reject(self, reason: str) -> None:
        self.settled.append(f"reject: {reason}")


class Bench:
    """A runner on a script, and what a test may turn."""

    def __init__(self) -> None:
        self.script = Script()
        self.stopping = threading.Event()
        self.pauses: list[float] = []
        self.loads: list[ServiceError | Exception] = []
        self.before_fit: Callable[[int], None] = lambda call: None
        self.calls = 0
        backends: Any = self.script
        self.keeper = LeaseKeeper(backends, 60.0, lambda: NOW)
        self.gate = Gate()
        self.runner = BundleRunner(
            backends,
            backends,
            MatrixCache(self._load),
            self.keeper,
            self.gate,
            lease_seconds=60.0,
            clock=lambda: NOW,
            stopping=self.stopping,
            pause=self.pauses.append,
            jitter=lambda: 0.0,
            fit=self._fit,
        )

    def run(self) -> Script:
        delivery: Any = self.script
        self.runner.run(delivery)
        return self.script

    def _load(self, key: MatrixKey) -> Matrix:
        if self.loads:
            raise self.loads.pop(0)
        values = np.random.default_rng(1).normal(size=(30, 1))
        return Matrix(values, np.arange(30), 30, np.zeros(1), np.ones(1))

    def _fit(self, *arguments: Any, **options: Any) -> ckernel.Fit:
        self.calls += 1
        self.before_fit(self.calls)
        return ckernel.fit(*arguments, **options)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_whole_bundle_is_fitted_written_acknowledged_and_announced(bench: Bench) -> None:
    script = bench.run()
    assert [outcome.key for outcome in script.written] == list(KEYS)
    assert script.settled == ["ack"]
    assert script.announced == ["j"]
    assert bench.keeper.active() == ()


def test_only_claimed_tasks_are_fitted(bench: Bench) -> None:
    bench.script.claimable = KEYS[1:2]
    assert [outcome.key for outcome in bench.run().written] == [KEYS[1]]
    assert bench.calls == 1
    assert bench.script.settled == ["ack"]


@pytest.mark.parametrize("case", ["gone", "ended", "claimed"])
def test_nothing_to_run_is_acknowledged(bench: Bench, case: str) -> None:
    if case == "gone":
        bench.script.job = None
    elif case == "ended":
        bench.script.job = Job("j", "", "", SPEC, 30, 0, NOW, JobState.CANCELLED)
    else:
        bench.script.claimable = ()
    script = bench.run()
    assert (script.settled, script.announced, bench.calls) == (["ack"], [], 0)


@pytest.mark.parametrize("call", ["get_job", "claim_tasks"])
def test_store_outage_before_the_claim_costs_the_bundle_nothing(bench: Bench, call: str) -> None:
    bench.script.errors[call] = [StoreUnavailable("down")]
    with pytest.raises(StoreUnavailable):
        bench.run()
    assert bench.script.settled == ["requeue"]


def test_a_job_that_cannot_be_read_counts_against_its_bundle_alone(bench: Bench) -> None:
    bench.script.errors["get_job"] = [DataLoss("The record of job j is damaged.")]
    assert bench.run().settled == ["reject: DataLoss: The record of job j is damaged."]


def test_store_outage_while_writing_is_waited_out(bench: Bench) -> None:
    bench.script.errors["finish_tasks"] = [StoreUnavailable("down")] * 4
    script = bench.run()
    assert len(script.written) == 3
    assert script.settled == ["ack"]
    assert bench.pauses == pytest.approx([0.05, 0.1, 0.2, 0.4])


def test_long_store_outage_while_writing_gives_the_bundle_back_uncounted(bench: Bench) -> None:
    bench.script.errors["finish_tasks"] = [StoreUnavailable("down")] * 100
    bench.script.errors["release_tasks"] = [StoreUnavailable("down")]
    with pytest.raises(StoreUnavailable):
        bench.run()
    assert bench.script.settled == ["requeue"]
    assert len(bench.pauses) == 7


def test_object_outage_is_waited_out(bench: Bench) -> None:
    bench.loads = [ObjectsUnavailable("down")] * 3
    assert bench.run().settled == ["ack"]
    assert len(bench.pauses) == 3


def test_long_object_outage_gives_the_bundle_back_uncounted(bench: Bench) -> None:
    bench.loads = [ObjectsUnavailable("No answer.")] * 8
    with pytest.raises(ObjectsUnavailable):
        bench.run()
    assert bench.script.released == 1
    assert bench.script.settled == ["requeue"]
    assert bench.script.written == []


def test_outage_is_not_waited_out_by_a_worker_that_stops(bench: Bench) -> None:
    bench.loads = [ObjectsUnavailable("No answer.")] * 8
    bench.runner._pause = lambda seconds: bench.stopping.set()
    with pytest.raises(ObjectsUnavailable):
        bench.run()
    assert len(bench.loads) == 6


@pytest.mark.parametrize("error", [NotFound("No such table."), DataLoss("Damaged.")])
def test_dataset_that_cannot_be_used_fails_its_tasks_at_once(bench: Bench, error: ServiceError) -> None:
    bench.loads = [error]
    script = bench.run()
    assert [(o.key, o.state, o.error) for o in script.written] == [
        (key, TaskState.ERROR, str(error)) for key in KEYS
    ]
    assert script.settled == ["ack"]
    assert script.announced == ["j"]
    assert bench.pauses == []


def test_memory_that_runs_out_while_loading_rejects_the_bundle(bench: Bench) -> None:
    bench.loads = [MemoryError()]
    script = bench.run()
    assert script.settled == [f"reject: {out_of_memory(JOB.row_count, 1)}"]
    assert script.released == 1


def test_fit_that_finds_no_memory_is_tried_again_and_the_next_goes_on(bench: Bench) -> None:
    def fill(call: int) -> None:
        if call == 2:
            raise MemoryError

    bench.before_fit = fill
    script = bench.run()
    assert [outcome.key for outcome in script.written] == [KEYS[0], KEYS[2]]
    assert script.released == 1
    assert script.settled == [f"reject: {out_of_memory(JOB.row_count, 1)}"]


def test_a_worker_that_stops_hands_back_what_found_no_memory(bench: Bench) -> None:
    def fill_and_stop(call: int) -> None:
        bench.stopping.set()
        raise MemoryError

    bench.before_fit = fill_and_stop
    script = bench.run()
    assert script.written == []
    assert script.settled == ["requeue"]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [(ValueError("Too few rows."), "Too few rows."), (RuntimeError("a bug"), "RuntimeError: a bug")],
)
def test_fit_that_fails_is_an_error_and_the_next_goes_on(
    bench: Bench, error: Exception, sentence: str
) -> None:
    def fail_second(call: int) -> None:
        if call == 2:
            raise error

    bench.before_fit = fail_second
    script = bench.run()
    assert [outcome.state is TaskState.ERROR for outcome in script.written] == [False, True, False]
    assert script.written[1].error == sentence
    assert script.settled == ["ack"]


def test_stop_after_a_fit_writes_it_and_hands_back_the_rest(bench: Bench) -> None:
    bench.before_fit = lambda call: bench.stopping.set()
    script = bench.run()
    assert [outcome.key for outcome in script.written] == [KEYS[0]]
    assert script.released == 1
    assert script.settled == ["requeue"]


def test_stop_during_the_last_fit_completes_the_bundle(bench: Bench) -> None:
    def stop_at_last(call: int) -> None:
        if call == len(KEYS):
            bench.stopping.set()

    bench.before_fit = stop_at_last
    script = bench.run()
    assert len(script.written) == 3
    assert script.settled == ["ack"]


def test_bundle_that_arrives_while_stopping_goes_back(bench: Bench) -> None:
    bench.stopping.set()
    assert bench.run().settled == ["requeue"]
    assert bench.calls == 0


def test_a_bundle_that_came_back_leaves_what_may_have_ended_its_worker(bench: Bench) -> None:
    bench.script.suspects = KEYS[1:2]
    bench.script.redelivered = True
    script = bench.run()
    assert [outcome.key for outcome in script.written] == [KEYS[0], KEYS[2]]
    assert script.settled == ["ack"]


@pytest.mark.parametrize("alone", [True, False], ids=["marked", "of an older scheduler"])
def test_a_suspect_that_travels_alone_is_run(bench: Bench, alone: bool) -> None:
    bench.script.suspects = KEYS[1:2]
    bench.script.redelivered = True
    bench.script.bundle = Bundle("j", KEYS[1:2], alone=alone)
    assert [outcome.key for outcome in bench.run().written] == [KEYS[1]]


def test_a_fit_that_outlasts_the_grace_leaves_its_bundle_to_others(bench: Bench) -> None:
    def abandon(call: int) -> None:
        bench.stopping.set()
        for claim in bench.keeper.active():
            claim.lose()

    bench.before_fit = abandon
    script = bench.run()
    assert script.written == []
    assert script.settled == ["requeue"]


def test_a_bundle_is_settled_whatever_becomes_of_its_claim(bench: Bench) -> None:
    bench.loads = [RuntimeError("a bug")]
    bench.script.errors["release_tasks"] = [DataLoss("damaged")]
    assert bench.run().settled == ["reject: RuntimeError: a bug"]


@pytest.mark.parametrize("alone", [True, False], ids=["marked", "of an older scheduler"])
def test_a_bundle_that_waits_at_the_gate_goes_back_at_once_and_unclaimed(bench: Bench, alone: bool) -> None:
    bench.script.redelivered = not alone
    bench.script.bundle = Bundle("j", KEYS[1:2], alone=alone)
    with bench.gate.enter(alone=False), ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(bench.run)
        until(lambda: bool(bench.gate._line))
        assert bench.script.settled == []
        bench.gate.close()
        script = waiting.result(60)
    assert script.settled == ["requeue"]
    assert script.running == set()


def test_lost_claim_drops_the_rest_and_writes_nothing(bench: Bench) -> None:
    def lose(call: int) -> None:
        # As after a cancellation: the store no longer knows the attempt.
        bench.script.running = set()
        bench.keeper.renew()

    bench.before_fit = lose
    script = bench.run()
    assert bench.calls == 1
    assert script.written == []
    assert script.released == 0
    assert script.settled == ["ack"]


def test_write_that_was_refused_drops_the_claim(bench: Bench) -> None:
    def cancel(call: int) -> None:
        bench.script.running = set()

    bench.before_fit = cancel
    script = bench.run()
    assert script.renewals == 1
    assert script.written == []
    assert script.settled == ["ack"]


def test_write_that_only_seemed_to_fail_keeps_the_claim(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.worker.bundles._WRITE_SECONDS", 0.0)
    finish = bench.script.finish_tasks
    lost_answers = [StoreUnavailable("answered too late")]

    def finish_tasks(*arguments: Any) -> tuple[TaskKey, ...]:
        written = finish(*arguments)
        if lost_answers:
            raise lost_answers.pop()
        return written

    bench.script.finish_tasks = finish_tasks  # type: ignore[method-assign]
    script = bench.run()
    assert [outcome.key for outcome in script.written] == list(KEYS)
    assert script.settled == ["ack"]


def test_event_that_cannot_be_sent_is_left_to_the_sweep(bench: Bench) -> None:
    bench.script.errors["publish_event"] = [QueueUnavailable("down")]
    script = bench.run()
    assert script.settled == ["ack"]
    assert len(script.written) == 3
