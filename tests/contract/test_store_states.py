"""Any sequence of calls on a store agrees with a model of task states that fits on a page."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.core.jobs import JobState, state_when_all_ended
from services.core.ports import Store
from services.core.tasks import Task, TaskCounts, TaskKey, TaskState
from tests.contract.samples import NOW, done, failed, start_job_in_parts

N_UNITS = 6
SUBSETS = st.sets(st.integers(0, N_UNITS - 1), min_size=1)
ATTEMPTS = st.sampled_from("abc")  # of the run at hand: the store keeps the jobs of earlier runs


@dataclass
class Expected:
    state: TaskState = TaskState.PENDING
    attempt_id: str = ""
    lease_until: datetime | None = None
    attempts: int = 0
    published: bool = field(default=False, compare=False)

    def is_free(self, now: datetime) -> bool:
        if self.state is TaskState.PENDING:
            return True
        return self.holds_lease_before(now)

    def holds_lease_before(self, now: datetime) -> bool:
        return self.lease_until is not None and self.lease_until < now

    def runs_under(self, attempt_id: str) -> bool:
        return self.state is TaskState.RUNNING and self.attempt_id == attempt_id

    def release(self) -> None:
        self.state, self.attempt_id, self.lease_until = TaskState.PENDING, "", None

    def set_back(self) -> None:
        self.release()
        self.published = False

    def end(self, state: TaskState) -> None:
        self.state, self.lease_until = state, None


class StoreMachine(RuleBasedStateMachine):
    """What is run, `keys`, is tasks and parts of tasks; what is seen, `tasks`, is tasks alone."""

    store: Store
    n_parts: tuple[int, ...]

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        job, whole, self.keys = start_job_in_parts(self.store, *self.n_parts)
        self.job_id, self.state = job.id, JobState.RUNNING
        self.run = {key: Expected() for key in self.keys}
        self.tasks = {key: self.run.get(key, Expected()) for key in whole}
        self.revision = job.revision
        self.watched = {task.key: task for task in self.store.all_tasks(job.id)}

    def attempt(self, letter: str) -> str:
        return f"{self.job_id}-{letter}"

    def pick(self, numbers: set[int]) -> list[TaskKey]:
        return [self.keys[number] for number in sorted(numbers)]

    def follow(self) -> None:
        """Bring the tasks of parts in line with them."""
        for key, task in self.tasks.items():
            parts = [part for run, part in self.run.items() if run != key and run.whole == key]
            if not parts or task.state.is_terminal:
                continue
            states = {part.state for part in parts}
            task.attempts = max(part.attempts for part in parts)
            if TaskState.ERROR in states:
                task.state = TaskState.ERROR
                for part in parts:
                    if not part.state.is_terminal:
                        part.end(TaskState.CANCELLED)
                        part.attempt_id = ""
            elif states == {TaskState.DONE}:
                task.state = TaskState.DONE
            else:
                task.state = TaskState.PENDING if states == {TaskState.PENDING} else TaskState.RUNNING

    @rule(seconds=st.integers(1, 20))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(numbers=SUBSETS, letter=ATTEMPTS, seconds=st.integers(1, 20))
    def claim(self, numbers: set[int], letter: str, seconds: int) -> None:
        attempt_id = self.attempt(letter)
        until = self.now + timedelta(seconds=seconds)
        free = [key for key in self.pick(numbers) if self.run[key].state is TaskState.PENDING]
        claimed = self.store.claim_tasks(self.pick(numbers), attempt_id, until, self.now)
        assert list(claimed) == free
        for key in free:
            task = self.run[key]
            task.state, task.attempt_id, task.lease_until = TaskState.RUNNING, attempt_id, until
            task.attempts += 1
        self.follow()

    @rule(letter=ATTEMPTS, seconds=st.integers(1, 20))
    def renew(self, letter: str, seconds: int) -> None:
        attempt_id = self.attempt(letter)
        until = self.now + timedelta(seconds=seconds)
        held = [task for task in self.run.values() if task.runs_under(attempt_id)]
        assert self.store.renew_lease(attempt_id, until) == len(held)
        for task in held:
            task.lease_until = until

    @rule(numbers=SUBSETS, letter=ATTEMPTS, well=st.booleans())
    def finish(self, numbers: set[int], letter: str, well: bool) -> None:
        attempt_id = self.attempt(letter)
        held = [key for key in self.pick(numbers) if self.run[key].runs_under(attempt_id)]
        outcomes = [done(key) if well else failed(key) for key in self.pick(numbers)]
        assert list(self.store.finish_tasks(attempt_id, outcomes, self.now)) == held
        for key in held:
            self.run[key].end(TaskState.DONE if well else TaskState.ERROR)
        self.follow()

    @rule(letter=ATTEMPTS)
    def release(self, letter: str) -> None:
        attempt_id = self.attempt(letter)
        held = {key for key, task in self.run.items() if task.runs_under(attempt_id)}
        assert set(self.store.release_tasks(attempt_id, self.now)) == held
        for key in held:
            self.run[key].release()
        self.follow()

    @rule(numbers=SUBSETS)
    def fail(self, numbers: set[int]) -> None:
        free = [key for key in self.pick(numbers) if self.run[key].is_free(self.now)]
        assert list(self.store.fail_tasks(self.pick(numbers), "dead", self.now)) == free
        for key in free:
            self.run[key].end(TaskState.ERROR)
            self.run[key].attempt_id = ""
        self.follow()

    @rule()
    def expire(self) -> None:
        lost = [task for task in self.run.values() if task.holds_lease_before(self.now)]
        assert (self.job_id in self.store.expire_leases(self.now)) == bool(lost)
        for task in lost:
            task.set_back()
        self.follow()

    @rule(numbers=SUBSETS)
    def publish(self, numbers: set[int]) -> None:
        self.store.mark_published(self.pick(numbers), self.now)
        for key in self.pick(numbers):
            task = self.run[key]
            task.published = task.published or not task.state.is_terminal

    @rule(numbers=st.none() | SUBSETS)
    def retry(self, numbers: set[int] | None) -> None:
        keys = None if numbers is None else [key.whole for key in self.pick(numbers)]
        again = {
            key
            for key, task in self.tasks.items()
            if (task.state is TaskState.ERROR if keys is None else key in keys) and task.state.is_terminal
        }
        self.store.retry_tasks(self.job_id, keys, self.now)
        for key, task in (self.tasks | self.run).items():
            if key.whole in again:
                task.set_back()
        if again:
            self.state = JobState.RUNNING

    @rule()
    def close(self) -> None:
        self.store.close_job(self.job_id, self.now)
        if self.state is JobState.RUNNING:
            self.state = state_when_all_ended(self.expected_counts()) or self.state

    @precondition(lambda self: self.now > NOW + timedelta(seconds=40))
    @rule(by_user=st.booleans())
    def stop(self, by_user: bool) -> None:
        if by_user:
            self.store.cancel_job(self.job_id, self.now)
        else:
            self.store.fail_job(self.job_id, "why", self.now)
        if not self.state.is_terminal:
            self.state = JobState.CANCELLED if by_user else JobState.FAILED
            for task in (self.tasks | self.run).values():
                if not task.state.is_terminal:
                    task.end(TaskState.CANCELLED)
                    task.attempt_id = ""

    def expected_counts(self) -> TaskCounts:
        states = [task.state for task in self.tasks.values()]
        return TaskCounts({state: states.count(state) for state in set(states)})

    @invariant()
    def store_agrees(self) -> None:
        stored = self.store.all_tasks(self.job_id)
        assert {task.key: self.as_expected(task) for task in stored} == self.tasks
        assert {key: self.as_expected(self.store.get_task(key)) for key in self.keys} == self.run
        assert self.store.count_tasks(self.job_id) == self.expected_counts()
        assert self.store.get_job(self.job_id).state is self.state
        for task in stored:
            assert (task.result is not None) == (task.state is TaskState.DONE)
            assert (task.ended_at is not None) == task.state.is_terminal

    @invariant()
    def the_scheduler_knows_what_is_out(self) -> None:
        waiting = {key: task.published for key, task in self.run.items() if task.state is TaskState.PENDING}
        running = sum(task.state is TaskState.RUNNING for task in self.run.values())
        never = tuple(sorted(key for key, published in waiting.items() if not published))
        assert self.store.unpublished_tasks(self.job_id, NOW, 100) == never
        assert self.store.unpublished_tasks(self.job_id, NOW, 2) == never[:2]
        assert self.store.count_outstanding(self.job_id, NOW) == running + sum(waiting.values())

    @invariant()
    def a_watcher_sees_everything(self) -> None:
        revision = self.store.get_job(self.job_id).revision
        assert revision >= self.revision
        for task in self.store.changed_tasks(self.job_id, self.revision, 2):
            self.watched[task.key] = task
            self.revision = task.revision
        for task in self.store.changed_tasks(self.job_id, self.revision, 100):
            self.watched[task.key] = task
        self.revision = revision
        assert list(map(as_watched, self.watched.values())) == [
            as_watched(task) for task in self.store.all_tasks(self.job_id)
        ]

    @staticmethod
    def as_expected(task: Task) -> Expected:
        # Which attempt ended a task is told by its own test.
        return Expected(
            task.state,
            task.attempt_id,
            task.lease_until,
            task.attempts,
        )


def as_watched(task: Task) -> Task:
    """Without the bookkeeping that no watcher is told of."""
    return replace(
        task,
        lease_until=None,
    )


@pytest.mark.parametrize("n_parts", [(1, 1, 1, 1, 1, 1), (3, 1, 2)], ids=["no parts", "parts"])
def test_any_sequence_of_calls_agrees_with_the_model(store: Store, n_parts: tuple[int, ...]) -> None:
    class Machine(StoreMachine):
        pass

    Machine.store, Machine.n_parts = store, n_parts
    run_state_machine_as_test(
        Machine,
        settings=settings(max_examples=30, stateful_step_count=30, deadline=None, database=None),
    )
