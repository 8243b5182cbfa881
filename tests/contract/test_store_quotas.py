"""What an owner may have at once: counted by the store, and kept to whoever else asks at the same time."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from services.core.covariance import Covariance
from services.core.datasets import Correlation
from services.core.errors import LimitExceeded
from services.core.jobs import Job, JobSpec, JobState
from services.core.planning import plan_tasks
from services.core.ports import Store
from services.core.quotas import OwnerLimits, OwnerUsage
from services.core.tasks import TaskKey
from tests.contract.samples import (
    NOW,
    at_once,
    claim,
    complete,
    failed,
    make_dataset,
    make_job,
    start_job_in_parts,
)

GIB = 1 << 30


def small_job(store: Store, owner: str = "ann", **fields: object) -> Job:
    """Of four tasks, not stored."""
    dataset = store.insert_dataset(make_dataset(owner=owner, size_bytes=1))
    spec = JobSpec(dataset.id, ("depth (m)",), max_k=2, n_experiments=2, covariances=(Covariance.FULL_TIED,))
    return replace(make_job(dataset), spec=spec, **fields)


def begun(store: Store, job: Job) -> list[TaskKey]:
    store.insert_job(job)
    keys = list(plan_tasks(job))
    store.start_job(job.id, keys, NOW)
    return keys


def attempt(call: Callable[[], object]) -> str:
    """The reason of the refusal, or "" when there is none."""
    try:
        call()
    except LimitExceeded as refused:
        return refused.reason
    return ""


def test_usage_is_counted_per_owner(store: Store) -> None:
    assert store.owner_usage("ann") == OwnerUsage(0, 0, 0)
    keys = begun(store, small_job(store))
    store.insert_job(small_job(store))
    begun(store, small_job(store, "ben"))
    assert store.owner_usage("ann") == OwnerUsage(2, 8, 2)
    complete(store, keys[:3])
    assert store.owner_usage("ann") == OwnerUsage(2, 5, 2)
    store.cancel_job(keys[0].job_id, NOW)
    assert store.owner_usage("ann") == OwnerUsage(1, 4, 2)
    assert store.owner_usage("ben") == OwnerUsage(1, 4, 1)


def test_parts_of_a_task_are_one_task(store: Store) -> None:
    job, _, _ = start_job_in_parts(store, 3, 1)
    assert store.owner_usage("ann").tasks == job.spec.n_tasks


def test_too_many_jobs(store: Store) -> None:
    limits = OwnerLimits(jobs=2)
    first = small_job(store)
    store.insert_job(first, limits)
    store.insert_job(small_job(store), limits)
    with pytest.raises(LimitExceeded) as refused:
        store.insert_job(small_job(store), limits)
    assert (refused.value.reason, refused.value.subject) == ("TOO_MANY_JOBS", "owner:ann")
    assert refused.value.retry_seconds > 0
    store.insert_job(small_job(store, "ben"), limits)
    store.cancel_job(first.id, NOW)
    store.insert_job(small_job(store), limits)


def test_a_repeated_request_needs_no_room(store: Store) -> None:
    limits = OwnerLimits(jobs=1, stored_bytes=GIB)
    dataset = make_dataset(request_id=str(uuid.uuid4()))
    assert store.insert_dataset(dataset, limits) == dataset
    assert store.insert_dataset(replace(dataset, id="other"), limits) == dataset
    job = make_job(dataset, request_id=str(uuid.uuid4()))
    assert store.insert_job(job, limits) == job
    assert store.insert_job(replace(job, id="other"), limits) == job


def test_too_many_tasks(store: Store) -> None:
    limits = OwnerLimits(tasks=9)
    job = small_job(store)
    keys = begun(store, job)
    store.insert_job(small_job(store), limits)
    assert attempt(lambda: store.insert_job(small_job(store), limits)) == "TOO_MANY_TASKS"
    complete(store, keys[:3])
    assert attempt(lambda: store.insert_job(small_job(store), limits)) == ""
    with pytest.raises(LimitExceeded, match="smaller max_k") as alone:
        store.insert_job(small_job(store), OwnerLimits(tasks=3))
    assert alone.value.retry_seconds == 0


def test_too_many_bytes(store: Store) -> None:
    limits = OwnerLimits(stored_bytes=2 * GIB)
    datasets = [store.insert_dataset(make_dataset(), limits) for _ in range(2)]
    assert attempt(lambda: store.insert_dataset(make_dataset(size_bytes=1), limits)) == "TOO_MANY_BYTES"
    assert attempt(lambda: store.insert_dataset(make_dataset(owner="ben"), limits)) == ""
    store.delete_dataset(datasets[0].id)
    assert attempt(lambda: store.insert_dataset(make_dataset(), limits)) == ""
    assert store.owner_usage("ann").stored_bytes == 2 * GIB


def test_bytes_are_those_of_the_file_whatever_it_is_called(store: Store) -> None:
    dataset = make_dataset(
        size_bytes=7,
        display_name='"size_bytes": 5, \\"size_bytes\\": 5',
        correlation=Correlation(("a", '"size_bytes": 9'), (1.0, math.nan, math.nan, 1.0), 3),
    )
    store.insert_dataset(dataset)
    assert store.owner_usage("ann").stored_bytes == 7


def test_a_retry_takes_room_again(store: Store) -> None:
    job = small_job(store)
    keys = begun(store, job)
    complete(store, keys[:2])
    claim(store, keys[2:], "lost")
    store.finish_tasks("lost", [failed(key) for key in keys[2:]], NOW)
    assert store.close_job(job.id, NOW).state is JobState.FAILED
    other = store.insert_job(small_job(store))
    for limits, reason in (
        (OwnerLimits(jobs=1), "TOO_MANY_JOBS"),
        (OwnerLimits(tasks=5), "TOO_MANY_TASKS"),
    ):
        assert attempt(partial(store.retry_tasks, job.id, None, NOW, limits)) == reason
        assert store.get_job(job.id).state is JobState.FAILED
    store.cancel_job(other.id, NOW)
    assert store.retry_tasks(job.id, None, NOW, OwnerLimits(jobs=1, tasks=2)).state is JobState.RUNNING
    # The job runs already: more of its tasks are no further job, but more tasks.
    assert attempt(lambda: store.retry_tasks(job.id, keys[:1], NOW, OwnerLimits(tasks=2))) == "TOO_MANY_TASKS"
    store.retry_tasks(job.id, keys[:1], NOW, OwnerLimits(jobs=1, tasks=3))
    assert store.owner_usage("ann") == OwnerUsage(1, 3, 2)


def test_a_retry_of_the_planning_takes_room_again(store: Store) -> None:
    job = store.insert_job(small_job(store))
    store.fail_job(job.id, "no plan", NOW)
    assert attempt(lambda: store.retry_tasks(job.id, None, NOW, OwnerLimits(tasks=3))) == "TOO_MANY_TASKS"
    assert store.retry_tasks(job.id, None, NOW, OwnerLimits(tasks=4)).state is JobState.PENDING


def test_of_many_at_once_as_many_fit_as_may(open_store: Callable[[], Store]) -> None:
    stores = [open_store(), open_store()]
    limits = OwnerLimits(jobs=3, stored_bytes=5 * GIB)
    jobs = [small_job(stores[0]) for _ in range(8)]
    reasons = at_once(
        [
            partial(attempt, partial(stores[index % 2].insert_job, job, limits))
            for index, job in enumerate(jobs)
        ]
    )
    assert sorted(reasons) == [""] * 3 + ["TOO_MANY_JOBS"] * 5
    reasons = at_once(
        [
            partial(attempt, partial(stores[index % 2].insert_dataset, make_dataset(owner="ben"), limits))
            for index in range(8)
        ]
    )
    assert sorted(reasons) == [""] * 5 + ["TOO_MANY_BYTES"] * 3
