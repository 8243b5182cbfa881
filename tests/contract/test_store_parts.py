"""Tasks with parts: the parts are run, the tasks are seen."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from services.core.errors import NotFound
from services.core.jobs import JobState
from services.core.pages import PageRequest
from services.core.ports import Store
from services.core.tasks import Task, TaskCounts, TaskFilter, TaskKey, TaskOrder, TaskOutcome, TaskState
from tests.contract.samples import (
    LATER,
    NOW,
    at_once,
    claim,
    complete,
    done,
    failed,
    make_model,
    make_result,
    start_job_in_parts,
)

MILLISECOND = timedelta(milliseconds=1)


def fitted(part: TaskKey, log_likelihood: float, state: TaskState = TaskState.DONE) -> TaskOutcome:
    """The outcome of a part, its model told by its first start."""
    start = part.part.first_start
    result = make_result(2 * log_likelihood, log_likelihood=log_likelihood, start=start)
    return TaskOutcome(part, state, 0.5, result, make_model(start))


def finish(store: Store, *outcomes: TaskOutcome) -> None:
    """Claim and finish each in an attempt of its own, in this order."""
    for outcome in outcomes:
        attempt_id = f"of {outcome.key.id}"
        assert claim(store, [outcome.key], attempt_id) == (outcome.key,)
        assert store.finish_tasks(attempt_id, [outcome], LATER) == (outcome.key,)


def has_model(store: Store, key: TaskKey) -> bool:
    with suppress(NotFound):
        return bool(store.get_model(key).to_bytes())
    return False


# What is seen


def test_whole_tasks_are_seen_and_nothing_else(store: Store) -> None:
    job, tasks, _ = start_job_in_parts(store, 1, 3, 2)
    expected = tuple(Task(key, revision=job.revision) for key in tasks)
    assert store.all_tasks(job.id) == expected
    assert store.count_tasks(job.id) == TaskCounts({TaskState.PENDING: 3})
    assert store.changed_tasks(job.id, 0, 2) == expected
    for order in TaskOrder:
        first = store.list_tasks(job.id, TaskFilter(), order, PageRequest.parse(2, "", listing="tasks"))
        rest = PageRequest.parse(2, first.next_token, listing="tasks")
        assert first.items == expected[:2]
        assert store.list_tasks(job.id, TaskFilter(), order, rest).items == expected[2:]


def test_changes_of_parts_that_do_not_change_their_task_are_not_seen(store: Store) -> None:
    job, tasks, parts = start_job_in_parts(store, 3)
    store.mark_published(parts, NOW)
    assert store.changed_tasks(job.id, job.revision, 10) == ()
    claim(store, parts[:1], "a")
    begun = store.get_task(tasks[0])
    assert store.changed_tasks(job.id, job.revision, 10) == (begun,)
    claim(store, parts[1:2], "b")
    store.renew_lease("a", LATER)
    store.finish_tasks("a", [fitted(parts[0], -1.0)], NOW)
    assert store.changed_tasks(job.id, begun.revision, 10) == ()
    assert store.get_task(tasks[0]) == begun


# What is run


def test_parts_are_published_in_place_of_their_task(store: Store) -> None:
    job, tasks, units = start_job_in_parts(store, 1, 3, 2)
    assert units[0] == tasks[0]
    assert store.unpublished_tasks(job.id, NOW, 100) == units
    assert store.unpublished_tasks(job.id, NOW, 3) == units[:3]
    store.mark_published([*tasks, units[1]], NOW)
    assert store.unpublished_tasks(job.id, NOW, 100) == units[2:]
    assert store.count_outstanding(job.id, NOW) == 2
    claim(store, units[1:4], "a")
    assert store.count_outstanding(job.id, NOW) == 4


def test_a_task_with_parts_is_never_run_itself(store: Store) -> None:
    _, tasks, _ = start_job_in_parts(store, 2)
    assert claim(store, tasks, "a") == ()
    assert store.fail_tasks(tasks, "dead", LATER) == ()
    assert store.finish_tasks("", [done(tasks[0])], NOW) == ()
    assert store.get_task(tasks[0]).state is TaskState.PENDING


def test_starting_again_gives_a_task_no_other_parts(store: Store) -> None:
    job, tasks, units = start_job_in_parts(store, 1, 3)
    before = store.get_job(job.id)
    other = replace(units[1], part=replace(units[1].part, n_starts=units[1].part.n_starts + 1))
    in_parts = replace(tasks[0], part=units[1].part)
    assert store.start_job(job.id, [*units, tasks[1], other, in_parts], NOW) == before
    assert store.unpublished_tasks(job.id, NOW, 100) == units


# The state of the task


def test_a_task_runs_from_the_first_claim_of_a_part(store: Store) -> None:
    _, tasks, parts = start_job_in_parts(store, 3)
    claim(store, parts[1:2], "a")
    task = store.get_task(tasks[0])
    assert task == Task(tasks[0], TaskState.RUNNING, task.revision, attempts=1, started_at=NOW)
    assert store.claim_tasks(parts[2:], "b", LATER + timedelta(hours=1), LATER) == parts[2:]
    assert store.get_task(tasks[0]) == task
    assert store.renew_lease("", LATER) == 0


@pytest.mark.parametrize("how", ["released", "expired"])
def test_a_task_falls_back_when_every_claim_is_lost(store: Store, how: str) -> None:
    job, tasks, parts = start_job_in_parts(store, 3)
    after = LATER + MILLISECOND

    def lose() -> None:
        if how == "released":
            assert store.release_tasks("a", after) == parts[:2]
        else:
            assert store.expire_leases(after) == (job.id,)

    claim(store, parts[:2], "a")
    lose()
    task = store.get_task(tasks[0])
    assert task == Task(tasks[0], TaskState.PENDING, task.revision, attempts=1, started_at=NOW)
    finish(store, fitted(parts[2], -1.0))
    claim(store, parts[:2], "a")
    lose()
    assert store.get_task(tasks[0]).state is TaskState.RUNNING
    assert store.get_task(tasks[0]).attempts == 2


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_last_part_makes_the_task_the_best_of_all(store: Store, order: tuple[int, ...]) -> None:
    job, tasks, parts = start_job_in_parts(store, 3)
    outcomes = [fitted(parts[0], -3.0), fitted(parts[1], -1.0), fitted(parts[2], -2.0)]
    for index in order[:2]:
        finish(store, outcomes[index])
        assert store.get_task(tasks[0]).result is None
        assert store.close_job(job.id, LATER).state is JobState.RUNNING
    finish(store, outcomes[order[2]])
    assert store.get_task(tasks[0]) == Task(
        tasks[0],
        TaskState.DONE,
        store.get_job(job.id).revision,
        attempts=1,
        started_at=NOW,
        ended_at=LATER,
        seconds=1.5,
        result=outcomes[1].result,
    )
    assert store.get_model(tasks[0]).to_bytes() == make_model(parts[1].part.first_start).to_bytes()
    assert not any(has_model(store, part) for part in parts)
    best_first = store.list_tasks(job.id, TaskFilter(), TaskOrder.BIC_DESCENDING, PageRequest())
    assert [task.key for task in best_first.items] == list(tasks)
    assert store.close_job(job.id, LATER).state is JobState.SUCCEEDED
    assert store.count_tasks(job.id) == TaskCounts({TaskState.DONE: 1})


def test_parts_that_end_in_one_call_leave_one_model(store: Store) -> None:
    _, tasks, parts = start_job_in_parts(store, 3)
    claim(store, parts, "a")
    store.finish_tasks("a", [fitted(part, -1.0) for part in parts], NOW)
    task = store.get_task(tasks[0])
    assert task.result is not None
    assert task.result.start == parts[0].part.first_start  # the first of equals
    assert store.get_model(tasks[0]).to_bytes() == make_model(parts[0].part.first_start).to_bytes()
    assert not any(has_model(store, part) for part in parts)


@pytest.mark.parametrize("sound", [True, False])
def test_a_sound_part_goes_before_a_degenerate_one(store: Store, sound: bool) -> None:
    _, tasks, parts = start_job_in_parts(store, 2)
    second = TaskState.DONE if sound else TaskState.DEGENERATE
    finish(store, fitted(parts[0], 5.0, TaskState.DEGENERATE), fitted(parts[1], -9.0, second))
    task = store.get_task(tasks[0])
    assert task.state is second
    assert task.result is not None
    assert task.result.log_likelihood == (-9.0 if sound else 5.0)


def test_last_parts_that_end_at_once_merge_once(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    for _ in range(5):
        job, tasks, parts = start_job_in_parts(stores[0], 4)
        for number, part in enumerate(parts):
            claim(stores[0], [part], f"{job.id}-{number}")
        at_once(
            [
                partial(stores[i % 2].finish_tasks, f"{job.id}-{i}", [fitted(parts[i], float(i))], NOW)
                for i in range(4)
            ]
        )
        task = stores[1].get_task(tasks[0])
        assert (task.state, task.seconds) == (TaskState.DONE, 2.0)
        assert task.result is not None
        assert task.result.log_likelihood == 3.0
        assert stores[0].get_model(tasks[0]).to_bytes() == make_model(parts[3].part.first_start).to_bytes()


@pytest.mark.parametrize("dead", [False, True], ids=["refused data", "dead bundle"])
def test_a_part_that_fails_ends_its_task(store: Store, dead: bool) -> None:
    job, tasks, parts = start_job_in_parts(store, 4)
    finish(store, fitted(parts[0], -1.0))
    claim(store, parts[1:2], "a")
    if dead:
        assert store.fail_tasks(parts[2:3], "It died four times.", LATER) == parts[2:3]
    else:
        finish(store, failed(parts[2], "It died four times."))
    task = store.get_task(tasks[0])
    assert (task.state, task.error, task.ended_at) == (TaskState.ERROR, "It died four times.", LATER)
    assert task.result is None
    states = [store.get_task(part).state for part in parts]
    assert states == [TaskState.DONE, TaskState.CANCELLED, TaskState.ERROR, TaskState.CANCELLED]
    assert not any(has_model(store, key) for key in (*tasks, *parts))
    # What runs still has nothing left to say.
    assert store.renew_lease("a", LATER) == 0
    assert store.finish_tasks("a", [fitted(parts[1], 0.0)], LATER) == ()
    assert store.get_task(tasks[0]) == task
    assert store.unpublished_tasks(job.id, LATER, 10) == ()
    assert store.close_job(job.id, LATER).state is JobState.FAILED


def test_a_part_whose_workers_die_ends_its_task_at_the_limit(store: Store) -> None:
    job, tasks, parts = start_job_in_parts(store, 3)
    after = LATER + MILLISECOND
    for losses in range(2):
        assert store.suspect_tasks(job.id) == parts[: min(losses, 1)]
        claim(store, parts[:1], "a")
        assert store.expire_leases(after, 1) == (job.id,)
    task = store.get_task(tasks[0])
    assert (task.state, task.attempts) == (TaskState.ERROR, 2)
    assert task.error == store.get_task(parts[0]).error != ""
    assert [store.get_task(part).state for part in parts[1:]] == [TaskState.CANCELLED] * 2
    assert store.suspect_tasks(job.id) == ()


# Cancel, retry, delete


def test_a_cancelled_job_leaves_no_part_to_run_or_keep(store: Store) -> None:
    job, tasks, units = start_job_in_parts(store, 1, 2, 3)
    complete(store, units[1:3])
    finish(store, fitted(units[3], -1.0))
    claim(store, units[4:5], "a")
    store.cancel_job(job.id, LATER)
    after = [store.get_task(key).state for key in tasks]
    assert after == [TaskState.CANCELLED, TaskState.DONE, TaskState.CANCELLED]
    assert store.finish_tasks("a", [fitted(units[4], 0.0)], LATER) == ()
    assert claim(store, units, "b") == ()
    assert [key for key in (*tasks, *units) if has_model(store, key)] == [tasks[1]]


@pytest.mark.parametrize("ended", [TaskState.DONE, TaskState.ERROR, TaskState.CANCELLED])
def test_retry_runs_every_part_again(store: Store, ended: TaskState) -> None:
    job, tasks, units = start_job_in_parts(store, 2, 3)
    complete(store, units[:2])
    parts = units[2:]
    store.mark_published(parts, NOW)
    finish(store, *(fitted(part, 7.0) for part in parts[:2]))
    if ended is TaskState.DONE:
        finish(store, fitted(parts[2], 7.0))
    elif ended is TaskState.ERROR:
        finish(store, failed(parts[2]))
    else:
        store.cancel_job(job.id, NOW)
    store.close_job(job.id, NOW)
    assert store.get_task(tasks[1]).state is ended
    retried = store.retry_tasks(job.id, None if ended is TaskState.ERROR else tasks[1:], LATER)
    assert retried.state is JobState.RUNNING
    task = store.get_task(tasks[1])
    assert task == Task(tasks[1], TaskState.PENDING, retried.revision, attempts=1, started_at=NOW)
    assert not has_model(store, tasks[1])
    assert store.get_task(tasks[0]).state is TaskState.DONE
    assert store.unpublished_tasks(job.id, NOW, 100) == parts
    finish(store, *(fitted(part, -float(index)) for index, part in enumerate(parts)))
    task = store.get_task(tasks[1])
    assert (task.state, task.seconds, task.attempts) == (TaskState.DONE, 1.5, 2)
    assert task.result is not None
    assert task.result.log_likelihood == 0.0
    assert store.get_model(tasks[1]).to_bytes() == make_model(parts[0].part.first_start).to_bytes()
    assert store.close_job(job.id, NOW).state is JobState.SUCCEEDED


def test_a_part_cannot_be_retried_by_itself(store: Store) -> None:
    job, _, parts = start_job_in_parts(store, 2)
    finish(store, failed(parts[0]))
    with pytest.raises(NotFound) as caught:
        store.retry_tasks(job.id, parts[:1], NOW)
    assert caught.value.reason == "TASK_NOT_FOUND"


def test_delete_forgets_parts_too(store: Store) -> None:
    job, tasks, parts = start_job_in_parts(store, 3)
    finish(store, *(fitted(part, 1.0) for part in parts))
    store.close_job(job.id, NOW)
    store.delete_job(job.id)
    for key in (*tasks, *parts):
        with pytest.raises(NotFound):
            store.get_task(key)
        assert not has_model(store, key)
