"""Damaged records of tasks: told as data loss by whatever reads them, and never in the way of an end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pymongo.database import Database

from services.backends.mongodb import MongoStore
from services.core.errors import DataLoss
from services.core.jobs import JobState
from services.core.pages import PageRequest
from services.core.tasks import TaskFilter, TaskKey, TaskOrder
from tests.contract.samples import NOW, claim, complete, done, failed, start_job

Documents = Database[dict[str, Any]]
FIRST = "tasks.0"
DAMAGES = {
    "no tasks": {"$unset": {"tasks": True}},
    "no record": {"$set": {FIRST: None}},
    "no id": {"$unset": {f"{FIRST}.id": True}},
    "state": {"$set": {f"{FIRST}.state": "sleeping"}},
    "no state": {"$unset": {f"{FIRST}.state": True}},
    "no parts": {"$unset": {f"{FIRST}.n_parts": True}},
    "revision": {"$set": {f"{FIRST}.revision": "7"}},
    "result": {"$set": {f"{FIRST}.result": {"bic": "high"}}},
    "empty result": {"$set": {f"{FIRST}.result": {}}},
    "model": {"$set": {f"{FIRST}.model": {"pack": 7}}},
    "no model": {"$unset": {f"{FIRST}.model": True}},
}


def calls(store: MongoStore, keys: tuple[TaskKey, ...]) -> tuple[Callable[[], object], ...]:
    job_id = keys[0].job_id
    return (
        lambda: store.get_task(keys[0]),
        lambda: store.get_model(keys[0]),
        lambda: store.list_tasks(job_id, TaskFilter(), TaskOrder.KEY, PageRequest()),
        lambda: store.list_tasks(job_id, TaskFilter(), TaskOrder.BIC_DESCENDING, PageRequest()),
        lambda: store.all_tasks(job_id),
        lambda: store.count_tasks(job_id),
        lambda: store.changed_tasks(job_id, 0, 10),
        lambda: store.unpublished_tasks(job_id, NOW, 10),
        lambda: claim(store, keys, "b"),
        lambda: store.finish_tasks("b", [done(key) for key in keys], NOW),
        lambda: store.fail_tasks(keys, "why", NOW),
        lambda: store.retry_tasks(job_id, keys, NOW),
        lambda: store.retry_tasks(job_id, None, NOW),
        lambda: store.close_job(job_id, NOW),
    )


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_every_call_says_what_is_damaged_and_the_job_can_be_ended(
    store: MongoStore, database: Documents, damage: dict[str, Any]
) -> None:
    job, keys = start_job(store, 3)
    complete(store, keys[:1])
    database["blocks"].update_one({"job_id": job.id}, damage)
    told = list[str]()
    for call in calls(store, keys):
        try:
            call()
        except DataLoss as error:  # and nothing else
            told.append(str(error))
    assert told
    assert all(job.id in sentence for sentence in told)
    assert store.cancel_job(job.id, NOW).state in {JobState.CANCELLED, JobState.SUCCEEDED}
    store.delete_job(job.id)
    assert database["blocks"].count_documents({"job_id": job.id}) == 0


def test_errors_of_any_length_leave_room_for_those_of_their_neighbours(store: MongoStore) -> None:
    _, keys = start_job(store, 60)
    for key in keys:
        claim(store, [key], key.short_id)
        assert store.finish_tasks(key.short_id, [failed(key, "x" * 300_000)], NOW) == (key,)
    assert {task.error[:2] for task in store.all_tasks(keys[0].job_id)} == {"xx"}
