"""`services.core.ports.TaskStore`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

import numpy as np
import pytest

from services.core.covariance import Covariance
from services.core.errors import InvalidInput, NotFound
from services.core.jobs import Job
from services.core.pages import PageRequest
from services.core.ports import Store
from services.core.tasks import (
    Task,
    TaskCounts,
    TaskFilter,
    TaskKey,
    TaskOrder,
    TaskOutcome,
    TaskResult,
    TaskState,
    lost_too_often,
)
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
    start_job,
)

MILLISECOND = timedelta(milliseconds=1)
NAN, INFINITY = float("nan"), float("inf")


def finish_with_bics(store: Store, keys: Sequence[TaskKey], bics: Sequence[float]) -> None:
    claim(store, keys, "a")
    store.finish_tasks("a", [done(key, bic) for key, bic in zip(keys, bics, strict=True)], NOW)


# Claims


def test_a_claim_takes_pending_tasks(store: Store) -> None:
    job, keys = start_job(store, 4)
    assert store.claim_tasks(keys[1:3], "a", LATER, NOW) == keys[1:3]
    tasks = store.all_tasks(job.id)
    for task in tasks[1:3]:
        assert task == Task(
            task.key,
            TaskState.RUNNING,
            revision=store.get_job(job.id).revision,
            attempts=1,
            attempt_id="a",
            lease_until=LATER,
            started_at=NOW,
        )
    assert [tasks[0].state, tasks[3].state] == [TaskState.PENDING] * 2


def test_a_claim_passes_over_what_it_cannot_have(store: Store) -> None:
    job, keys = start_job(store, 3)
    ended, ended_keys = start_job(store, 2)
    store.cancel_job(ended.id, NOW)
    complete(store, keys[:1])
    claim(store, keys[1:2], "a")
    unknown = [replace(keys[0], k=49), TaskKey("nope", 0, 1, Covariance.FULL_TIED)]
    assert claim(store, [*unknown, *ended_keys, *keys, keys[2]], "b") == keys[2:]
    assert store.get_task(keys[2]).attempts == 1
    assert claim(store, [], "c") == ()
    assert store.count_tasks(job.id)[TaskState.RUNNING] == 2


def test_a_claim_may_span_jobs(store: Store) -> None:
    one, ones = start_job(store, 2)
    two, twos = start_job(store, 2)
    assert set(claim(store, [ones[0], twos[0]], "a")) == {ones[0], twos[0]}
    assert store.get_job(one.id).revision == store.get_task(ones[0]).revision
    assert store.get_job(two.id).revision == store.get_task(twos[0]).revision


def test_a_lease_that_ended_is_counted_before_its_task_is_claimed_again(store: Store) -> None:
    job, keys = start_job(store, 1)
    claim(store, keys, "a")
    after = LATER + MILLISECOND
    assert store.claim_tasks(keys, "b", after, after) == ()
    store.expire_leases(after)
    assert store.suspect_tasks(job.id) == keys
    assert store.claim_tasks(keys, "b", after, after) == keys
    task = store.get_task(keys[0])
    assert (task.attempt_id, task.attempts, task.started_at) == ("b", 2, after)


def test_a_lost_attempt_writes_nothing(store: Store) -> None:
    job, keys = start_job(store, 1)
    claim(store, keys, "a")
    after = LATER + MILLISECOND
    store.expire_leases(after)
    store.claim_tasks(keys, "b", after, after)
    before = store.get_task(keys[0])
    assert store.finish_tasks("a", [done(keys[0])], after) == ()
    assert store.renew_lease("a", after + timedelta(hours=1)) == 0
    assert store.release_tasks("a", after) == ()
    assert store.get_task(keys[0]) == before
    assert store.finish_tasks("b", [done(keys[0])], after) == keys
    assert store.count_tasks(job.id)[TaskState.DONE] == 1


@pytest.mark.parametrize("overlap", ["the same tasks", "shuffled bundles"])
def test_claimers_in_many_threads_never_share_a_task(open_store: Callable[[], Store], overlap: str) -> None:
    stores = [open_store(), open_store()]
    job, keys = start_job(stores[0], 60)
    numbers = np.random.default_rng(7)

    def claim_all(number: int, orders: list[list[int]]) -> list[TaskKey]:
        store = stores[number % 2]
        return [key for order in orders for key in claim(store, [keys[i] for i in order], str(number))]

    if overlap == "the same tasks":
        orders = [[list(range(60))] for _ in range(8)]
    else:
        orders = [[numbers.permutation(60)[:13].tolist() for _ in range(9)] for _ in range(8)]
    claimed = at_once([partial(claim_all, number, orders[number]) for number in range(8)])
    flat = [key for claims in claimed for key in claims]
    wanted = {keys[i] for each in orders for order in each for i in order}
    assert len(flat) == len(set(flat))
    assert set(flat) == wanted
    for number, claims in enumerate(claimed):
        assert all(stores[0].get_task(key).attempt_id == str(number) for key in claims)
    assert all(task.attempts <= 1 for task in stores[0].all_tasks(job.id))


# Leases of tasks


def test_renew_extends_every_running_task_of_the_attempt(store: Store) -> None:
    _, keys = start_job(store, 4)
    claim(store, keys[:3], "a")
    claim(store, keys[3:], "b")
    store.finish_tasks("a", [done(keys[0])], NOW)
    far = LATER + timedelta(hours=1)
    assert store.renew_lease("a", far) == 2
    assert [store.get_task(key).lease_until for key in keys] == [None, far, far, LATER]
    assert store.renew_lease("nobody", far) == 0
    store.expire_leases(LATER + MILLISECOND)
    assert store.claim_tasks(keys, "c", far, LATER + MILLISECOND) == keys[3:]


def test_task_that_is_lost_too_often_is_given_up_and_a_retry_forgets(store: Store) -> None:
    job, (poison, innocent, *_) = start_job(store, 3)

    def lose() -> None:
        assert claim(store, [poison], "a") == (poison,)
        assert store.expire_leases(LATER + MILLISECOND, 2) == (job.id,)

    claim(store, [innocent], "handed back")
    store.release_tasks("handed back", NOW)
    assert store.suspect_tasks(job.id) == ()
    for _ in range(2):
        lose()
        assert store.get_task(poison).state is TaskState.PENDING
        assert store.suspect_tasks(job.id) == (poison,)
    lose()
    task = store.get_task(poison)
    assert task.state is TaskState.ERROR
    assert task.error == lost_too_often(3)
    assert (task.lease_until, task.ended_at, task.attempts) == (None, LATER + MILLISECOND, 3)
    assert store.suspect_tasks(job.id) == ()
    assert claim(store, [poison], "late") == ()

    store.retry_tasks(job.id, None, LATER)
    assert store.suspect_tasks(job.id) == ()
    lose()
    assert store.get_task(poison).state is TaskState.PENDING


def test_losses_without_a_limit_never_fail_a_task(store: Store) -> None:
    job, (key, *_) = start_job(store, 1)
    for _ in range(5):
        claim(store, [key], "a")
        assert store.expire_leases(LATER + MILLISECOND) == (job.id,)
    assert store.get_task(key).state is TaskState.PENDING
    assert store.suspect_tasks(job.id) == (key,)


def test_expire_sets_lost_tasks_back(store: Store) -> None:
    one, ones = start_job(store, 3)
    two, twos = start_job(store, 1)
    store.mark_published([*ones, *twos], NOW)
    claim(store, ones[:2], "a")
    claim(store, twos, "b")
    store.renew_lease("b", LATER + timedelta(hours=1))
    assert store.expire_leases(LATER) == ()
    assert store.expire_leases(LATER + MILLISECOND) == (one.id,)
    for task in store.all_tasks(one.id)[:2]:
        assert task.state is TaskState.PENDING
        assert (task.lease_until, task.attempts) == (None, 1)
    assert store.unpublished_tasks(one.id, NOW, 10) == ones[:2]
    assert store.get_task(twos[0]).state is TaskState.RUNNING
    assert store.finish_tasks("a", [done(ones[0])], LATER) == ()
    store.claim_tasks(ones[:1], "c", LATER + timedelta(days=1), NOW)
    assert store.expire_leases(LATER + timedelta(days=1)) == (two.id,)
    assert store.get_task(ones[0]).state is TaskState.RUNNING
    assert store.expire_leases(LATER + timedelta(days=1)) == ()
    assert store.expire_leases(LATER + timedelta(days=2)) == (one.id,)


def test_release_hands_back_what_runs(store: Store) -> None:
    job, keys = start_job(store, 3)
    store.mark_published(keys, NOW)
    claim(store, keys[:2], "a")
    claim(store, keys[2:], "b")
    store.finish_tasks("a", [done(keys[0])], NOW)
    assert store.release_tasks("a", NOW) == (keys[1],)
    task = store.get_task(keys[1])
    assert (task.state, task.lease_until) == (TaskState.PENDING, None)
    assert store.unpublished_tasks(job.id, NOW, 10) == ()
    assert store.count_outstanding(job.id, NOW) == 2
    assert store.release_tasks("a", NOW) == ()
    assert store.get_task(keys[2]).state is TaskState.RUNNING
    assert claim(store, keys, "c") == (keys[1],)


# Outcomes


def test_finish_writes_what_the_attempt_found(store: Store) -> None:
    job, keys = start_job(store, 3)
    claim(store, keys, "a")
    degenerate = make_result(diagnosis="Cluster 2 has 1 member.", counts=(299, 1))
    outcomes = [
        TaskOutcome(keys[0], TaskState.DONE, 0.1, make_result(), make_model(1)),
        TaskOutcome(keys[1], TaskState.DEGENERATE, 0.2, degenerate, make_model(2)),
        failed(keys[2], "The data has a NaN."),
    ]
    assert store.finish_tasks("a", outcomes, LATER) == keys
    for outcome in outcomes:
        assert store.get_task(outcome.key) == Task(
            outcome.key,
            outcome.state,
            revision=store.get_job(job.id).revision,
            attempts=1,
            attempt_id="a",
            started_at=NOW,
            ended_at=LATER,
            seconds=outcome.seconds,
            result=outcome.result,
            error=outcome.error,
        )
    for key, seed in ((keys[0], 1), (keys[1], 2)):
        assert store.get_model(key).to_bytes() == make_model(seed).to_bytes()
    with pytest.raises(NotFound) as caught:
        store.get_model(keys[2])
    assert caught.value.reason == "MODEL_NOT_FOUND"


def test_finish_is_applied_once_and_only_to_what_the_attempt_holds(store: Store) -> None:
    _, keys = start_job(store, 3)
    claim(store, keys[:1], "a")
    claim(store, keys[1:2], "b")
    outcomes = [done(key) for key in (*keys, replace(keys[0], k=49))]
    assert store.finish_tasks("a", outcomes, NOW) == keys[:1]
    assert store.finish_tasks("a", outcomes, LATER) == ()
    assert store.get_task(keys[0]).ended_at == NOW
    assert store.get_task(keys[1]).state is TaskState.RUNNING
    assert store.get_task(keys[2]).state is TaskState.PENDING
    assert store.finish_tasks("a", [], NOW) == ()


def test_finish_before_the_lease_is_claimed_anew_still_counts(store: Store) -> None:
    _, keys = start_job(store, 1)
    claim(store, keys, "a")
    assert store.finish_tasks("a", [done(keys[0])], LATER + timedelta(days=1)) == keys


@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY, -0.0, 5e-324, 0.1 + 0.2, -1e308])
def test_scores_keep_their_bits(store: Store, value: float) -> None:
    _, keys = start_job(store, 1)
    claim(store, keys, "a")
    result = make_result(value, log_likelihood=value, aic=value)
    store.finish_tasks("a", [TaskOutcome(keys[0], TaskState.DONE, 0.0, result, make_model())], NOW)
    kept = store.get_task(keys[0]).result
    assert kept is not None
    assert _scores(kept) == _scores(result)


def _scores(result: TaskResult) -> list[str]:
    # repr is exact, and tells -0.0 from 0.0.
    return [repr(score) for score in (result.log_likelihood, result.bic, result.aic)]


def test_fail_ends_tasks_that_nobody_runs(store: Store) -> None:
    _, keys = start_job(store, 4)
    complete(store, keys[:1])
    claim(store, keys[1:2], "lost")
    after = LATER + MILLISECOND
    store.claim_tasks(keys[2:3], "alive", after, NOW)
    failed_keys = store.fail_tasks([*keys, replace(keys[0], k=49)], "Delivered 4 times.", after)
    assert failed_keys == (keys[1], keys[3])
    for key in failed_keys:
        task = store.get_task(key)
        assert (task.state, task.error) == (TaskState.ERROR, "Delivered 4 times.")
        assert (task.ended_at, task.lease_until) == (after, None)
    assert store.finish_tasks("lost", [done(keys[1])], after) == ()
    assert store.finish_tasks("alive", [done(keys[2])], after) == (keys[2],)
    assert store.fail_tasks(keys, "again", after) == ()


# Publishing


def test_unpublished_tasks_come_by_key(store: Store) -> None:
    job, keys = start_job(store, 6)
    assert store.unpublished_tasks(job.id, NOW, 100) == keys
    assert store.unpublished_tasks(job.id, NOW, 4) == keys[:4]
    store.mark_published(keys[:2], NOW)
    store.mark_published([keys[3], replace(keys[0], k=49)], LATER)
    claim(store, keys[4:5], "a")
    assert store.unpublished_tasks(job.id, NOW, 100) == (keys[2], keys[5])
    assert store.unpublished_tasks(job.id, LATER, 100) == (*keys[:3], keys[5])
    assert store.unpublished_tasks(job.id, LATER + MILLISECOND, 100) == (*keys[:4], keys[5])
    store.mark_published(keys[:1], LATER)
    assert store.unpublished_tasks(job.id, LATER, 100) == (*keys[1:3], keys[5])


def test_outstanding_tasks_run_or_were_published_lately(store: Store) -> None:
    job, keys = start_job(store, 6)
    assert store.count_outstanding(job.id, NOW) == 0
    store.mark_published(keys[:3], NOW)
    store.mark_published(keys[3:4], LATER)
    assert store.count_outstanding(job.id, NOW) == 4
    assert store.count_outstanding(job.id, LATER) == 1
    claim(store, [keys[0], keys[5]], "a")
    assert store.count_outstanding(job.id, LATER) == 3
    store.finish_tasks("a", [done(keys[0])], NOW)
    assert store.count_outstanding(job.id, LATER) == 2


# Questions


def test_an_unknown_task_is_not_found(store: Store) -> None:
    _, keys = start_job(store, 1)
    for key in (replace(keys[0], experiment=9), TaskKey("nope", 0, 1, Covariance.FULL_TIED)):
        for ask in (store.get_task, store.get_model):
            with pytest.raises(NotFound) as caught:
                ask(key)
            assert caught.value.reason == "TASK_NOT_FOUND"
    with pytest.raises(NotFound) as caught:
        store.get_model(keys[0])
    assert caught.value.reason == "MODEL_NOT_FOUND"
    with pytest.raises(NotFound) as caught:
        store.list_tasks("nope", TaskFilter(), TaskOrder.KEY, PageRequest())
    assert caught.value.reason == "JOB_NOT_FOUND"


def test_counts_are_those_of_the_tasks(store: Store) -> None:
    job, keys = start_job(store, 6)
    claim(store, keys[:4], "a")
    store.finish_tasks(
        "a", [done(keys[0]), failed(keys[1]), replace(done(keys[2]), state=TaskState.DEGENERATE)], NOW
    )
    counts = store.count_tasks(job.id)
    assert {state: counts[state] for state in TaskState} == {
        TaskState.PENDING: 2,
        TaskState.RUNNING: 1,
        TaskState.DONE: 1,
        TaskState.DEGENERATE: 1,
        TaskState.ERROR: 1,
        TaskState.CANCELLED: 0,
    }
    assert (counts.total, counts.unfinished) == (6, 3)
    empty, _ = start_job(store, 0)
    assert store.count_tasks(empty.id) == TaskCounts({})


def test_all_tasks_come_by_key(store: Store) -> None:
    job, keys = start_job(store, 20)
    assert tuple(task.key for task in store.all_tasks(job.id)) == tuple(sorted(keys))


LISTINGS: list[tuple[TaskFilter, Callable[[Task], bool]]] = [
    (TaskFilter(), lambda task: True),
    (TaskFilter(states=(TaskState.DONE,)), lambda task: task.state is TaskState.DONE),
    (
        TaskFilter(states=(TaskState.ERROR, TaskState.PENDING)),
        lambda task: task.state in {TaskState.ERROR, TaskState.PENDING},
    ),
    (TaskFilter(states=()), lambda task: False),
    (
        TaskFilter(covariances=(Covariance.SPHER_TIED,)),
        lambda task: task.key.covariance is Covariance.SPHER_TIED,
    ),
    (TaskFilter(covariances=()), lambda task: False),
    (TaskFilter(k=2), lambda task: task.key.k == 2),
    (TaskFilter(experiment=0), lambda task: task.key.experiment == 0),
    (
        TaskFilter((TaskState.DONE,), (Covariance.FULL_UNTIED,), 3, 1),
        lambda task: (
            task.state is TaskState.DONE
            and task.key.k == 3
            and task.key.experiment == 1
            and task.key.covariance is Covariance.FULL_UNTIED
        ),
    ),
]


def listing_job(store: Store) -> Job:
    """20 tasks: ties, infinities and NaN among the scores, some failed, some PENDING."""
    job, keys = start_job(store, 20)
    bics = [-5.0, 3.0, NAN, -5.0, 0.0, INFINITY, 1e-300, -0.0, -INFINITY, 3.0, -7.5, NAN, 12.0]
    finish_with_bics(store, keys[:13], bics)
    claim(store, keys[13:15], "b")
    store.finish_tasks("b", [failed(key) for key in keys[13:15]], NOW)
    return job


def by_bic(task: Task) -> tuple[bool, float, TaskKey]:
    scored = task.result is not None and task.result.bic == task.result.bic
    return (not scored, -task.result.bic if task.result and scored else 0.0, task.key)


@pytest.mark.parametrize("order", list(TaskOrder))
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_tasks_are_listed_filtered_and_in_order(store: Store, order: TaskOrder, size: int) -> None:
    job = listing_job(store)
    every = store.all_tasks(job.id)
    for task_filter, keep in LISTINGS:
        expected = [task.key for task in every if keep(task)]
        if order is TaskOrder.BIC_DESCENDING:
            expected = [task.key for task in sorted(every, key=by_bic) if keep(task)]
        seen: list[TaskKey] = []
        token = ""
        while True:
            page = store.list_tasks(
                job.id, task_filter, order, PageRequest.parse(size, token, listing=task_filter)
            )
            assert len(page.items) <= size
            seen.extend(task.key for task in page.items)
            token = page.next_token
            if not token:
                break
        assert seen == expected


def test_task_pages_are_stable_while_tasks_are_scored(store: Store) -> None:
    job, keys = start_job(store, 12)
    finish_with_bics(store, keys[:6], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0])

    def page(token: str) -> tuple[list[TaskKey], str]:
        request = PageRequest.parse(3, token, listing="bic")
        listed = store.list_tasks(job.id, TaskFilter(), TaskOrder.BIC_DESCENDING, request)
        return [task.key for task in listed.items], listed.next_token

    first, token = page("")
    claim(store, keys[6:7], "b")
    store.finish_tasks("b", [done(keys[6], 100.0)], NOW)  # belongs to the page already seen
    second, token = page(token)
    assert (first, second) == (list(keys[:3]), list(keys[3:6]))
    assert page(token)[0] == list(keys[7:10])


@pytest.mark.parametrize("order", list(TaskOrder))
@pytest.mark.parametrize(
    "forged",
    [(), (1,), ("0", 1.5, 0, 1, "x"), (0, "y", 0, 1, "x"), ("a", "b", "c"), (0, 2**70, "x")],
)
def test_a_forged_task_token_is_refused(
    store: Store, order: TaskOrder, forged: tuple[str | int | float, ...]
) -> None:
    job, _ = start_job(store)
    with pytest.raises(InvalidInput) as caught:
        store.list_tasks(job.id, TaskFilter(), order, PageRequest(after=forged))
    assert caught.value.reason == "BAD_PAGE_TOKEN"
