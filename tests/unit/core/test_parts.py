from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.covariance import Covariance
from services.core.jobs import Job, JobSpec
from services.core.parts import best_part, task_of_parts, with_parts_counted
from services.core.planning import (
    MAX_JOB_PARTS,
    MAX_TASK_PARTS,
    estimate_task_seconds,
    plan_parts,
    plan_tasks,
    task_parts,
)
from services.core.tasks import WHOLE, Part, Task, TaskKey, TaskResult, TaskState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
KEY = TaskKey("j", 3, 7, Covariance.FULL_UNTIED)
SPEC = JobSpec("d", ("a", "b"), n_init=2048, max_k=10, n_experiments=1)


def result(log_likelihood: float, start: int) -> TaskResult:
    return TaskResult(log_likelihood, 0.0, 0.0, 1, 1, True, False, (1,), start)


def part(index: int, state: TaskState, log_likelihood: float = 0.0, **fields: object) -> Task:
    has_ended = state in {TaskState.DONE, TaskState.DEGENERATE}
    task = Task(
        replace(KEY, part=Part(10 * index, 10)),
        state,
        attempts=1,
        seconds=0.5,
        result=result(log_likelihood, 10 * index) if has_ended else None,
    )
    return replace(task, **fields)  # type: ignore[arg-type]


# Keys


@pytest.mark.parametrize("key", [KEY, replace(KEY, part=Part(0, 32)), replace(KEY, part=Part(2016, 32))])
def test_keys_of_parts_are_read_as_they_are_written(key: TaskKey) -> None:
    assert TaskKey.parse(key.id) == TaskKey.parse_short("j", key.short_id) == key
    assert key.whole == KEY
    assert key.is_part == (key != KEY)
    assert sorted([key, KEY])[0] == KEY


@pytest.mark.parametrize("text", ["@", "@1", "@1+", "@1+0", "@-1+4", "@1+2+3", "@a+b"])
def test_keys_of_parts_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        TaskKey.parse_short("j", f"3-7-full-untied{text}")


# Planning


def test_a_short_task_is_run_in_one_go() -> None:
    assert task_parts(SPEC, 100, 2, Covariance.SPHER_TIED, 60.0) == (WHOLE,)
    once = replace(SPEC, n_init=1)
    assert task_parts(once, 10**9, 50, Covariance.FULL_UNTIED, 1.0) == (WHOLE,)
    default = Job("j", "", "", JobSpec("d", ("a", "b", "c")), 3232, 0, NOW)
    assert list(plan_parts(default, 60.0)) == list(plan_tasks(default))


@given(
    n=st.integers(1, 10**8),
    n_init=st.integers(1, 2048),
    n_experiments=st.integers(1, 100),
    max_k=st.integers(1, 50),
    longest=st.floats(1e-3, 1e5),
)
def test_parts_hold_every_start_once_and_are_bounded(
    n: int, n_init: int, n_experiments: int, max_k: int, longest: float
) -> None:
    spec = replace(SPEC, n_init=n_init, n_experiments=n_experiments, max_k=max_k)
    parts = task_parts(spec, n, max_k, Covariance.FULL_TIED, longest)
    assert parts == task_parts(spec, n, max_k, Covariance.FULL_TIED, longest)
    seconds = estimate_task_seconds(n, 2, max_k, Covariance.FULL_TIED, n_init=n_init, max_iter=spec.max_iter)
    if parts == (WHOLE,):
        assert seconds <= longest or n_init == 1 or 2 * spec.n_tasks > MAX_JOB_PARTS
        return
    starts = [start for part in parts for start in range(part.first_start, part.first_start + part.n_starts)]
    assert starts == list(range(n_init))
    sizes = {part.n_starts for part in parts}
    assert max(sizes) - min(sizes) <= 1
    assert 2 <= len(parts) <= min(MAX_TASK_PARTS, n_init)
    assert len(parts) * spec.n_tasks <= MAX_JOB_PARTS
    assert seconds > longest


def test_a_task_of_many_starts_on_a_large_table_keeps_many_workers_busy() -> None:
    spec = replace(SPEC, columns=tuple("abcdefghij"))
    seconds = estimate_task_seconds(10**6, 10, 10, Covariance.FULL_UNTIED, n_init=2048, max_iter=300)
    assert seconds > 3600
    parts = task_parts(spec, 10**6, 10, Covariance.FULL_UNTIED, 60.0)
    assert len(parts) == MAX_TASK_PARTS
    assert {part.n_starts for part in parts} == {2048 // MAX_TASK_PARTS}


def test_planned_parts_follow_the_order_of_the_tasks() -> None:
    job = Job("j", "", "", replace(SPEC, max_k=2, n_init=4), 1000, 0, NOW)
    keys = list(plan_parts(job, 1e-6))
    assert list(dict.fromkeys(key.whole for key in keys)) == list(plan_tasks(job))
    assert [key.part for key in keys[:4]] == [Part(start, 1) for start in range(4)]


def test_tasks_of_parts_are_counted() -> None:
    other, first, second = replace(KEY, k=1), *(replace(KEY, part=Part(10 * i, 10)) for i in range(2))
    assert with_parts_counted([other, first, second, first]) == {other: 0, KEY: 2, first: 0, second: 0}


# Merging


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([-2.0, -1.0, 0.0, 1.0])), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
)
def test_the_best_part_holds_the_best_of_all_starts(
    ends: list[tuple[bool, float]], shuffle: random.Random
) -> None:
    parts = [
        part(index, TaskState.DONE if sound else TaskState.DEGENERATE, value)
        for index, (sound, value) in enumerate(ends)
    ]
    # As the kernel goes through its starts, one after the other.
    best = parts[0]
    for one in parts[1:]:
        sound, best_sound = one.state is TaskState.DONE, best.state is TaskState.DONE
        assert one.result is not None
        assert best.result is not None
        if sound > best_sound or (
            sound == best_sound and one.result.log_likelihood > best.result.log_likelihood
        ):
            best = one
    assert best_part(shuffle.sample(parts, len(parts))) is best


def test_a_part_without_a_result_cannot_be_the_best() -> None:
    with pytest.raises(ValueError, match="no result"):
        best_part([part(0, TaskState.RUNNING)])


def test_a_task_follows_its_parts() -> None:
    pending, running = part(0, TaskState.PENDING, seconds=0.0), part(1, TaskState.RUNNING, attempts=3)
    task = Task(KEY)
    assert task_of_parts(task, [pending, replace(pending, attempts=0)], NOW) == replace(task, attempts=1)
    begun = task_of_parts(task, [pending, running], NOW)
    assert begun == Task(KEY, TaskState.RUNNING, attempts=3, started_at=NOW)
    assert task_of_parts(begun, [pending, running], LATER) == begun
    ended = task_of_parts(begun, [part(0, TaskState.DONE, 1.0), part(1, TaskState.DONE, 2.0)], LATER)
    assert (ended.state, ended.started_at, ended.ended_at) == (TaskState.DONE, NOW, LATER)
    assert (ended.seconds, ended.result) == (1.0, result(2.0, 10))


def test_the_first_failed_part_gives_the_reason() -> None:
    parts = [
        part(2, TaskState.ERROR, error="third"),
        part(1, TaskState.ERROR, error="second"),
        part(0, TaskState.DONE),
    ]
    failed = task_of_parts(Task(KEY, TaskState.RUNNING), parts, LATER)
    assert (failed.state, failed.error, failed.result) == (TaskState.ERROR, "second", None)


@pytest.mark.parametrize("state", [state for state in TaskState if state.is_terminal])
def test_a_task_that_has_ended_stays_as_it_is(state: TaskState) -> None:
    ended = Task(KEY, state)
    assert task_of_parts(ended, [part(0, TaskState.DONE)], LATER) is ended
