"""`services.core.ports.JobStore`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from services.core.covariance import Assignment, Covariance
from services.core.errors import (
    Conflict,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    StoreUnavailable,
)
from services.core.jobs import Job, JobFilter, JobState
from services.core.pages import PageRequest
from services.core.ports import Store
from services.core.tasks import Task, TaskFilter, TaskKey, TaskOrder, TaskState
from tests.contract.samples import (
    LATER,
    LONG,
    NOW,
    at_once,
    claim,
    complete,
    done,
    failed,
    make_dataset,
    make_job,
    make_keys,
    start_job,
)


def insert_job(store: Store, created_at: datetime = NOW, **fields: Any) -> Job:
    dataset = store.insert_dataset(make_dataset(owner=fields.get("owner", "ann")))
    return store.insert_job(make_job(dataset, created_at, **fields))


def states(store: Store, job: Job) -> list[TaskState]:
    return [task.state for task in store.all_tasks(job.id)]


# Records


def test_a_job_comes_back_as_it_was_put(store: Store) -> None:
    dataset = store.insert_dataset(make_dataset())
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    job = make_job(dataset, display_name="a'b \N{SNOWMAN}", request_id="r1", traceparent=trace)
    spec = replace(
        job.spec,
        covariances=(Covariance.SPHER_TIED, Covariance.DIAG_UNTIED),
        assignment=Assignment.MAHALANOBIS,
        scale=False,
    )
    job = replace(job, spec=spec)
    assert store.insert_job(job) == job
    assert store.get_job(job.id) == job


def test_an_unknown_job_is_not_found(store: Store) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.get_job("nope"),
        lambda: store.start_job("nope", (), NOW),
        lambda: store.close_job("nope", NOW),
        lambda: store.fail_job("nope", "why", NOW),
        lambda: store.cancel_job("nope", NOW),
        lambda: store.retry_tasks("nope", None, NOW),
        lambda: store.delete_job("nope"),
        lambda: store.wait_for_change("nope", 0, 0.0),
    ]
    for call in calls:
        with pytest.raises(NotFound) as caught:
            call()
        assert caught.value.reason == "JOB_NOT_FOUND"


def test_a_job_needs_its_dataset(store: Store) -> None:
    with pytest.raises(NotFound) as caught:
        store.insert_job(make_job(make_dataset()))
    assert caught.value.reason == "DATASET_NOT_FOUND"
    assert store.list_jobs(JobFilter(), PageRequest()).items == ()


def test_a_request_id_makes_a_job_idempotent(store: Store) -> None:
    first = insert_job(store, request_id="r1")
    store.start_job(first.id, make_keys(first), NOW)
    again = replace(first, id="another", created_at=LATER)
    assert store.job_made_before(again) == store.get_job(first.id)
    assert store.job_made_before(replace(again, request_id="r2")) is None
    assert store.job_made_before(replace(again, request_id="")) is None
    assert store.job_made_before(replace(again, owner="bob")) is None
    assert store.insert_job(again) == store.get_job(first.id)
    assert len(store.list_jobs(JobFilter(), PageRequest()).items) == 1


def test_a_request_id_is_refused_for_another_job(store: Store) -> None:
    first = insert_job(store, request_id="r1")
    others = [
        replace(first, id="another", display_name="other"),
        replace(first, id="another", spec=replace(first.spec, seed=1)),
        replace(first, id="another", spec=replace(first.spec, dataset_id="nope")),
    ]
    for other in others:
        told = []
        for ask in (store.insert_job, store.job_made_before):
            with pytest.raises(Conflict) as caught:
                ask(other)
            assert caught.value.reason == "REQUEST_ID_REUSED"
            told.append(caught.value.message)
        assert told[0] == told[1]
    assert store.list_jobs(JobFilter(), PageRequest()).items == (first,)
    bobs = replace(first, id="bobs", owner="bob", display_name="other")
    assert store.insert_job(bobs) == bobs


def test_one_request_id_in_many_threads_makes_one_job(store: Store) -> None:
    dataset = store.insert_dataset(make_dataset())
    made = at_once([lambda: store.insert_job(make_job(dataset, request_id="r1")) for _ in range(8)])
    assert len({job.id for job in made}) == 1
    assert store.list_jobs(JobFilter(), PageRequest()).items == (made[0],)


def test_jobs_are_listed_newest_first_and_filtered(store: Store) -> None:
    jobs = [insert_job(store, NOW + timedelta(milliseconds=i // 2)) for i in range(4)]
    bobs = insert_job(store, owner="bob")
    store.cancel_job(jobs[1].id, NOW)
    newest_first = [job.id for job in sorted(jobs, key=lambda job: (job.created_at, job.id), reverse=True)]

    def listed(job_filter: JobFilter) -> list[str]:
        return [job.id for job in store.list_jobs(job_filter, PageRequest()).items]

    assert listed(JobFilter(owner="ann")) == newest_first
    assert listed(JobFilter(owner="bob")) == [bobs.id]
    assert set(listed(JobFilter())) == {bobs.id, *newest_first}
    assert listed(JobFilter(states=(JobState.CANCELLED,))) == [jobs[1].id]
    assert set(listed(JobFilter(states=(JobState.CANCELLED, JobState.PENDING)))) == set(listed(JobFilter()))
    assert listed(JobFilter(states=())) == []
    assert listed(JobFilter(dataset_id=jobs[2].spec.dataset_id)) == [jobs[2].id]
    assert listed(JobFilter(owner="bob", dataset_id=jobs[2].spec.dataset_id)) == []


def test_job_pages_follow_each_other_while_jobs_are_added(store: Store) -> None:
    jobs = [insert_job(store, NOW + timedelta(milliseconds=i // 3)) for i in range(7)]
    seen: list[Job] = []
    token = ""
    while True:
        page = store.list_jobs(JobFilter("ann"), PageRequest.parse(2, token, listing="ann"))
        seen.extend(page.items)
        insert_job(store, LATER)
        token = page.next_token
        if not token:
            break
    assert seen == sorted(jobs, key=lambda job: (job.created_at, job.id), reverse=True)


def test_jobs_are_found_by_name_and_display_name(store: Store) -> None:
    def listed(query: str, **others: Any) -> list[str]:
        page = store.list_jobs(JobFilter(query=query, **others), PageRequest())
        return [job.display_name for job in page.items]

    titles = (
        "100 % clay.csv",
        "100 m clay.csv",
        "a_b [c].*",
        "aXb",
        "Straße É",
        "caf\u0065\u0301",
        r"C:\dir",
    )
    jobs = [
        insert_job(store, NOW + timedelta(seconds=i), display_name=title) for i, title in enumerate(titles)
    ]
    for query, expected in {
        "clay": titles[1::-1],
        "CLAY.CSV": titles[1::-1],
        "100 %": titles[:1],
        "%": titles[:1],
        "_": titles[2:3],
        "[c].*": titles[2:3],
        ".": (titles[2], *titles[1::-1]),
        "^a": (),
        "STRASSE": titles[4:5],
        "e\u0301": titles[5:3:-1],
        "CAF\N{LATIN CAPITAL LETTER E WITH ACUTE}": titles[5:6],
        "cafe": (),
        "\\": titles[6:7],
        "' OR 1=1 --": (),
        "$where": (),
        "\0": (),
        f"jobs/{jobs[3].id}": titles[3:4],
        jobs[3].id.upper(): titles[3:4],
        "JOBS/": titles[::-1],
    }.items():
        assert listed(query) == list(expected), query
    assert listed("clay", owner="bob") == []
    assert listed("clay", states=(JobState.CANCELLED,)) == []
    assert listed("clay", dataset_id=jobs[1].spec.dataset_id) == [titles[1]]


def test_pages_of_a_search_follow_each_other(store: Store) -> None:
    found = [
        insert_job(store, NOW + timedelta(seconds=i), display_name=f"{'odd' if i % 2 else 'even'} {i}")
        for i in range(10)
    ][1::2]
    seen: list[Job] = []
    token = ""
    for size in (2, 2, 1):
        page = store.list_jobs(JobFilter(query="ODD"), PageRequest.parse(size, token, listing="odd"))
        seen.extend(page.items)
        assert len(page.items) == size
        token = page.next_token
    assert token == ""
    assert seen == found[::-1]


def test_a_forged_job_token_is_refused(store: Store) -> None:
    with pytest.raises(InvalidInput) as caught:
        store.list_jobs(JobFilter(), PageRequest(after=("x", 1)))
    assert caught.value.reason == "BAD_PAGE_TOKEN"


def test_jobs_are_counted_by_state_whoever_owns_them(store: Store) -> None:
    assert sum(store.count_jobs().values()) == 0
    for owner in ("ann", "bob"):
        insert_job(store, owner=owner)
    store.cancel_job(insert_job(store).id, NOW)
    start_job(store)
    counts = {state: count for state, count in store.count_jobs().items() if count}
    assert counts == {JobState.PENDING: 2, JobState.CANCELLED: 1, JobState.RUNNING: 1}


def test_unfinished_jobs_come_oldest_first(store: Store) -> None:
    new = insert_job(store, LATER)
    old = insert_job(store, NOW)
    running, _ = start_job(store, created_at=NOW + timedelta(seconds=1))
    store.cancel_job(insert_job(store).id, NOW)
    assert store.unfinished_jobs() == (old, running, new)


# The life of a job


def test_start_inserts_tasks_and_runs_the_job(store: Store) -> None:
    job = insert_job(store)
    keys = make_keys(job)
    started = store.start_job(job.id, keys[::-1], NOW)
    assert started == replace(job, state=JobState.RUNNING, started_at=NOW, revision=started.revision)
    assert started.revision > job.revision
    assert store.all_tasks(job.id) == tuple(Task(key, revision=started.revision) for key in keys)
    assert store.get_job(job.id) == started


def test_start_again_inserts_what_is_missing_and_leaves_the_rest(store: Store) -> None:
    job, keys = start_job(store)
    complete(store, keys[:2])
    before = store.all_tasks(job.id)
    same = store.get_job(job.id)
    assert store.start_job(job.id, keys, LATER) == same
    more = make_keys(job, 8)
    again = store.start_job(job.id, more, LATER)
    assert again.revision > same.revision
    assert (again.state, again.started_at) == (JobState.RUNNING, NOW)
    after = store.all_tasks(job.id)
    assert [task.key for task in after] == list(more)
    assert after[: len(before)] == before


def test_start_of_an_ended_job_inserts_nothing(store: Store) -> None:
    job = insert_job(store)
    cancelled = store.cancel_job(job.id, NOW)
    assert store.start_job(job.id, make_keys(job), NOW) == cancelled
    assert store.all_tasks(job.id) == ()


def test_close_waits_for_every_task(store: Store) -> None:
    job, keys = start_job(store, 3)
    complete(store, keys[:1])
    claim(store, keys[1:2], "a")
    before = store.get_job(job.id)
    assert store.close_job(job.id, LATER) == before
    store.finish_tasks("a", [done(keys[1])], NOW)
    complete(store, keys[2:], "b")
    before = store.get_job(job.id)
    closed = store.close_job(job.id, LATER)
    assert closed == replace(before, state=JobState.SUCCEEDED, ended_at=LATER, revision=closed.revision)
    assert closed.revision > before.revision
    assert store.close_job(job.id, LATER + timedelta(hours=1)) == closed


def test_close_fails_a_job_with_a_failed_task(store: Store) -> None:
    job, keys = start_job(store, 3)
    claim(store, keys, "a")
    store.finish_tasks("a", [done(keys[0]), failed(keys[1]), done(keys[2])], NOW)
    assert store.close_job(job.id, NOW).state is JobState.FAILED


def test_close_leaves_jobs_that_do_not_run(store: Store) -> None:
    pending = insert_job(store)
    assert store.close_job(pending.id, NOW) == pending
    running = store.start_job(insert_job(store).id, (), NOW)
    assert store.close_job(running.id, NOW) == running


def test_close_and_retry_at_once_leave_no_closed_job_with_work(store: Store) -> None:
    for _ in range(10):
        job, keys = start_job(store, 3)
        claim(store, keys, "a")
        store.finish_tasks("a", [done(keys[0]), done(keys[1]), failed(keys[2])], NOW)
        at_once(
            [
                partial(store.close_job, job.id, NOW),
                partial(store.retry_tasks, job.id, None, NOW),
            ]
        )
        assert store.get_job(job.id).state is JobState.RUNNING
        assert store.count_tasks(job.id)[TaskState.PENDING] == 1


@pytest.mark.parametrize("how", ["cancel", "fail"])
def test_a_stopped_job_leaves_no_task_to_run(store: Store, how: str) -> None:
    job, keys = start_job(store, 4)
    complete(store, keys[:1])
    claim(store, keys[1:2], "a")
    before = store.get_job(job.id)
    if how == "cancel":
        stopped = store.cancel_job(job.id, LATER)
        assert (stopped.state, stopped.failure) == (JobState.CANCELLED, "")
    else:
        stopped = store.fail_job(job.id, "The table cannot be read.", LATER)
        assert (stopped.state, stopped.failure) == (JobState.FAILED, "The table cannot be read.")
    assert stopped.ended_at == LATER
    assert stopped.revision > before.revision
    tasks = store.all_tasks(job.id)
    assert [task.state for task in tasks] == [TaskState.DONE, *[TaskState.CANCELLED] * 3]
    assert all(task.revision == stopped.revision for task in tasks[1:])
    assert all((task.ended_at, task.lease_until) == (LATER, None) for task in tasks[1:])
    # What ran meanwhile has nothing left to say.
    assert store.renew_lease("a", LATER) == 0
    assert store.finish_tasks("a", [done(keys[1])], LATER) == ()
    assert claim(store, keys, "b") == ()
    assert store.get_job(job.id) == stopped


def test_a_pending_job_can_be_stopped(store: Store) -> None:
    assert store.cancel_job(insert_job(store).id, NOW).state is JobState.CANCELLED
    assert store.fail_job(insert_job(store).id, "why", NOW).state is JobState.FAILED


def test_an_ended_job_is_not_stopped_again(store: Store) -> None:
    job, keys = start_job(store, 1)
    complete(store, keys)
    closed = store.close_job(job.id, NOW)
    assert store.cancel_job(job.id, LATER) == closed
    assert store.fail_job(job.id, "why", LATER) == closed


# Retry


def test_retry_sets_failed_tasks_back(store: Store) -> None:
    job, keys = start_job(store, 4)
    store.mark_published(keys, NOW)
    claim(store, keys, "a")
    store.finish_tasks("a", [done(keys[0]), failed(keys[1]), failed(keys[2]), done(keys[3])], NOW)
    closed = store.close_job(job.id, LATER)
    assert closed.state is JobState.FAILED
    before = store.all_tasks(job.id)
    retried = store.retry_tasks(job.id, None, LATER)
    assert retried == replace(closed, state=JobState.RUNNING, ended_at=None, revision=retried.revision)
    assert retried.revision > closed.revision
    after = store.all_tasks(job.id)
    assert (after[0], after[3]) == (before[0], before[3])
    for task in after[1:3]:
        assert task == Task(task.key, revision=retried.revision, attempts=1, started_at=NOW)


def test_retry_of_a_done_task_clears_what_it_held(store: Store) -> None:
    job, keys = start_job(store, 2)
    complete(store, keys)
    store.close_job(job.id, NOW)
    assert store.get_model(keys[0])
    retried = store.retry_tasks(job.id, [keys[0], keys[0]], LATER)
    assert retried.state is JobState.RUNNING
    assert store.get_task(keys[0]) == Task(keys[0], revision=retried.revision, attempts=1, started_at=NOW)
    with pytest.raises(NotFound) as caught:
        store.get_model(keys[0])
    assert caught.value.reason == "MODEL_NOT_FOUND"
    assert store.get_model(keys[1])
    complete(store, keys[:1], "again")
    assert store.get_task(keys[0]).attempts == 2
    assert store.close_job(job.id, NOW).state is JobState.SUCCEEDED


def test_retry_names_only_known_tasks_or_changes_nothing(store: Store) -> None:
    job, keys = start_job(store, 2)
    _, foreign = start_job(store, 2)
    claim(store, keys, "a")
    store.finish_tasks("a", [failed(key) for key in keys], NOW)
    before, tasks = store.close_job(job.id, NOW), store.all_tasks(job.id)
    for unknown in (replace(keys[0], k=49), foreign[0]):
        with pytest.raises(NotFound) as caught:
            store.retry_tasks(job.id, [keys[0], unknown], LATER)
        assert caught.value.reason == "TASK_NOT_FOUND"
    assert (store.get_job(job.id), store.all_tasks(job.id)) == (before, tasks)


def test_retry_leaves_tasks_that_have_not_ended(store: Store) -> None:
    job, keys = start_job(store, 4)
    claim(store, keys[:2], "a")
    store.finish_tasks("a", [failed(keys[0])], NOW)
    before = store.all_tasks(job.id)
    assert store.retry_tasks(job.id, keys, NOW).state is JobState.RUNNING
    after = store.all_tasks(job.id)
    assert after[1:] == before[1:]
    assert after[0].state is TaskState.PENDING
    assert store.renew_lease("a", LATER) == 1


@pytest.mark.parametrize("named", [None, []], ids=["failed ones", "none"])
def test_retry_of_nothing_changes_nothing(store: Store, named: list[TaskKey] | None) -> None:
    job, keys = start_job(store, 2)
    running = store.get_job(job.id)
    assert store.retry_tasks(job.id, named, LATER) == running
    complete(store, keys)
    closed = store.close_job(job.id, NOW)
    assert store.retry_tasks(job.id, named, LATER) == closed


def test_retry_leaves_a_job_without_tasks_that_did_not_fail(store: Store) -> None:
    pending = insert_job(store)
    running = store.start_job(insert_job(store).id, (), NOW)
    cancelled = store.cancel_job(insert_job(store).id, NOW)
    for job in (pending, running, cancelled):
        assert store.retry_tasks(job.id, None, LATER) == job
        assert store.get_job(job.id) == job


def test_retry_of_cancelled_tasks_runs_the_job_again(store: Store) -> None:
    job, keys = start_job(store, 3)
    cancelled = store.cancel_job(job.id, NOW)
    assert store.retry_tasks(job.id, None, LATER) == cancelled
    assert store.retry_tasks(job.id, keys[:2], LATER).state is JobState.RUNNING
    assert states(store, job) == [TaskState.PENDING, TaskState.PENDING, TaskState.CANCELLED]


def test_retry_of_a_job_that_failed_in_planning_makes_it_pending(store: Store) -> None:
    job = insert_job(store)
    failed_job = store.fail_job(job.id, "No room for so many tasks.", NOW)
    retried = store.retry_tasks(job.id, None, LATER)
    assert retried == replace(job, revision=retried.revision)
    assert retried.revision > failed_job.revision
    assert store.unfinished_jobs() == (retried,)


# Delete


def test_delete_forgets_an_ended_job_with_its_tasks(store: Store) -> None:
    job, keys = start_job(store, 2)
    complete(store, keys)
    with pytest.raises(FailedPrecondition) as caught:
        store.delete_job(job.id)
    assert caught.value.reason == "JOB_NOT_ENDED"
    store.close_job(job.id, NOW)
    store.delete_job(job.id)
    missing: list[Callable[[], object]] = [
        lambda: store.get_job(job.id),
        lambda: store.get_task(keys[0]),
        lambda: store.get_model(keys[0]),
        lambda: store.list_tasks(job.id, TaskFilter(), TaskOrder.KEY, PageRequest()),
    ]
    for call in missing:
        with pytest.raises(NotFound):
            call()
    assert store.list_jobs(JobFilter(), PageRequest()).items == ()
    assert store.all_tasks(job.id) == ()
    store.delete_dataset(job.spec.dataset_id)


def test_a_pending_job_is_not_deleted(store: Store) -> None:
    with pytest.raises(FailedPrecondition):
        store.delete_job(insert_job(store).id)


# Revisions


def test_every_change_raises_the_revision_once_and_stamps_its_tasks(store: Store) -> None:
    job, keys = start_job(store, 4)
    claim(store, keys[:1], "gone")
    store.release_tasks("gone", NOW)
    changes: list[tuple[Callable[[], object], tuple[TaskKey, ...]]] = [
        (lambda: store.claim_tasks(keys[:3], "a", LATER, NOW), keys[:3]),
        (lambda: store.finish_tasks("a", [done(keys[0]), failed(keys[1])], NOW), keys[:2]),
        (lambda: store.release_tasks("a", NOW), keys[2:3]),
        (lambda: store.claim_tasks(keys[2:], "b", NOW, NOW), keys[2:]),
        (lambda: store.expire_leases(LATER), keys[2:]),
        (lambda: store.fail_tasks(keys[2:3], "dead", NOW), keys[2:3]),
        (lambda: store.retry_tasks(job.id, keys[:1], NOW), keys[:1]),
        (lambda: store.cancel_job(job.id, NOW), (keys[0], keys[3])),
    ]
    for call, changed in changes:
        before = store.get_job(job.id).revision
        call()
        after = store.get_job(job.id).revision
        assert after == before + 1
        tasks = store.changed_tasks(job.id, before, 100)
        assert tuple(task.key for task in tasks) == changed
        assert all(task.revision == after for task in tasks)


def test_what_changes_nothing_leaves_the_revision(store: Store) -> None:
    job, keys = start_job(store, 2)
    claim(store, keys, "a")
    before = store.get_job(job.id)
    claim(store, keys, "b")
    assert store.renew_lease("b", LATER) == 0
    store.finish_tasks("b", [done(keys[0])], NOW)
    store.release_tasks("b", NOW)
    store.fail_tasks(keys, "dead", NOW)
    store.expire_leases(NOW)
    store.start_job(job.id, keys, NOW)
    assert store.get_job(job.id) == before


def test_what_no_watcher_sees_leaves_the_revision(store: Store) -> None:
    job, keys = start_job(store, 2)
    claim(store, keys[:1], "a")
    before = store.get_job(job.id)
    store.mark_published(keys, NOW)
    assert store.renew_lease("a", LATER + timedelta(hours=1)) == 1
    assert store.get_job(job.id) == before
    assert store.changed_tasks(job.id, before.revision, 100) == ()
    assert store.get_task(keys[0]).lease_until == LATER + timedelta(hours=1)
    assert store.unpublished_tasks(job.id, NOW, 100) == ()


def test_changed_tasks_come_by_revision_and_key(store: Store) -> None:
    job, keys = start_job(store, 6)
    claim(store, [keys[4], keys[1]], "a")
    claim(store, keys[:1], "b")
    tasks = store.changed_tasks(job.id, 0, 100)
    assert [task.key for task in tasks] == [
        keys[2],
        keys[3],
        keys[5],
        keys[1],
        keys[4],
        keys[0],
    ]
    assert store.changed_tasks(job.id, store.get_job(job.id).revision, 100) == ()


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 100])
def test_changed_tasks_can_be_read_on_from_the_last_revision(store: Store, limit: int) -> None:
    job, keys = start_job(store, 6)
    claim(store, keys[:3], "a")
    claim(store, keys[3:4], "b")
    revision, seen = 0, list[TaskKey]()
    while tasks := store.changed_tasks(job.id, revision, limit):
        assert tasks[-1].revision > revision
        revision = tasks[-1].revision
        seen.extend(task.key for task in tasks)
    assert seen == [*keys[4:], *keys[:3], keys[3]]


def test_changed_tasks_stop_at_the_limit_where_no_revision_is_parted(store: Store) -> None:
    job, keys = start_job(store, 6)
    for key in keys:
        claim(store, [key], "a")
    assert [task.key for task in store.changed_tasks(job.id, 0, 4)] == list(keys[:4])


def test_changed_tasks_omit_none_under_concurrent_writers(open_store: Callable[[], Store]) -> None:
    one, two = open_store(), open_store()
    job, keys = start_job(one, 48)

    def write(number: int) -> None:
        store = (one, two)[number % 2]
        mine = keys[number::4]
        for turn in range(6):
            claim(store, mine, f"{number}/{turn}")
            if turn < 5:
                store.release_tasks(f"{number}/{turn}", NOW)
        for key in mine:
            store.finish_tasks(f"{number}/5", [done(key)], NOW)

    revision, seen = 0, dict[TaskKey, Task]()
    with ThreadPoolExecutor(4) as threads:
        writers = [threads.submit(write, number) for number in range(4)]
        while True:
            ended = all(writer.done() for writer in writers)
            current = one.get_job(job.id).revision
            assert current >= revision
            tasks = one.changed_tasks(job.id, revision, 7)
            for task in tasks:
                assert task.revision > revision
                seen[task.key] = task
            if tasks:
                revision = tasks[-1].revision
            elif ended:
                break
        for writer in writers:
            writer.result()
    assert tuple(seen[key] for key in keys) == one.all_tasks(job.id)
    assert revision == one.get_job(job.id).revision


# Waiting


def test_wait_returns_at_once_what_has_changed_already(store: Store) -> None:
    job, _ = start_job(store)
    assert store.wait_for_change(job.id, job.revision - 1, LONG) == job.revision


def test_wait_gives_up_when_the_time_is_up(store: Store) -> None:
    job, _ = start_job(store)
    assert store.wait_for_change(job.id, job.revision, 0.01) == job.revision
    assert store.wait_for_change(job.id, job.revision, 0.0) == job.revision


@pytest.mark.parametrize("writer", ["the same process", "another process"])
def test_wait_wakes_at_a_change(open_store: Callable[[], Store], writer: str) -> None:
    store = open_store()
    changer = store if writer == "the same process" else open_store()
    job, keys = start_job(store, 3)
    with ThreadPoolExecutor(10) as threads:
        for attempt in ("a", "b", "c"):
            before = store.get_job(job.id).revision
            waits = [threads.submit(store.wait_for_change, job.id, before, LONG) for _ in range(10)]
            complete(changer, [keys["abc".index(attempt)]], attempt)
            for wait in waits:
                assert wait.result(60) > before
        before = store.get_job(job.id).revision
        wait = threads.submit(store.wait_for_change, job.id, before, LONG)
        closed = changer.close_job(job.id, NOW)
        assert wait.result(60) == closed.revision


@pytest.mark.parametrize("writer", ["the same process", "another process"])
def test_wait_ends_when_the_job_is_deleted(open_store: Callable[[], Store], writer: str) -> None:
    store = open_store()
    changer = store if writer == "the same process" else open_store()
    job = store.cancel_job(insert_job(store).id, NOW)
    with ThreadPoolExecutor(1) as threads:
        wait = threads.submit(store.wait_for_change, job.id, job.revision, LONG)
        changer.delete_job(job.id)
        with pytest.raises(NotFound) as caught:
            wait.result(60)
    assert caught.value.reason == "JOB_NOT_FOUND"


def test_wait_ends_when_the_store_is_closed(store: Store) -> None:
    job, _ = start_job(store)
    with ThreadPoolExecutor(1) as threads:
        wait = threads.submit(store.wait_for_change, job.id, job.revision, LONG)
        store.close()
        with pytest.raises(StoreUnavailable):
            wait.result(60)
