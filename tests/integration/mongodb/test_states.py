"""What a process remembers of the states of tasks never differs from what the database says."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from pymongo.database import Database

from services.backends.mongodb import MongoStore
from services.backends.mongodb.states import TaskStates
from services.core.errors import DataLoss
from services.core.tasks import TaskCounts, TaskKey, TaskState
from tests.contract.samples import LATER, NOW, claim, complete, done, failed, start_job, start_job_in_parts

Documents = Database[dict[str, Any]]
Opener = Callable[[], MongoStore]


def answers(store: MongoStore, job_id: str) -> tuple[Any, ...]:
    """All that is answered from what is remembered."""
    return (
        store.count_tasks(job_id),
        store.count_outstanding(job_id, NOW),
        store.count_outstanding(job_id, LATER),
        store.unpublished_tasks(job_id, NOW, 100),
        store.unpublished_tasks(job_id, LATER, 3),
        store.suspect_tasks(job_id),
    )


@pytest.mark.parametrize("seed", range(3))
def test_what_is_remembered_is_what_a_new_process_reads(open_store: Opener, seed: int) -> None:
    writers, scheduler = (open_store(), open_store()), open_store()
    job, _, units = start_job_in_parts(writers[0], 1, 3, 1, 2, 1, 1)
    chosen = random.Random(seed)

    def change(store: MongoStore, some: Sequence[TaskKey]) -> None:
        attempt, time = chosen.choice("abc"), chosen.choice((NOW, LATER))
        match chosen.randrange(7):
            case 0:
                store.mark_published(some, time)
            case 1 | 2:
                claim(store, some, attempt)
            case 3:
                outcome = chosen.choice((done, failed))
                held = [key for key in some if store.get_task(key).attempt_id == attempt]
                store.finish_tasks(attempt, [outcome(key) for key in held if not key.is_part], time)
            case 4:
                store.release_tasks(attempt, time)
            case 5:
                store.expire_leases(LATER + timedelta(seconds=1))
            case 6:
                store.retry_tasks(job.id, [key.whole for key in some], time)

    for _ in range(60):
        change(chosen.choice(writers), chosen.sample(units, 3))
        if chosen.random() < 0.7:  # it does not look at every step
            new = open_store()
            assert answers(scheduler, job.id) == answers(new, job.id)
            new.close()
    assert scheduler.count_tasks(job.id).total == 6


def test_a_job_that_is_gone_has_no_tasks(open_store: Opener) -> None:
    store, other = open_store(), open_store()
    job, keys = start_job(store, 3)
    store.mark_published(keys, NOW)
    assert other.count_tasks(job.id).total == 3
    store.cancel_job(job.id, NOW)
    store.delete_job(job.id)
    other.mark_published(keys, NOW)
    assert answers(other, job.id) == (TaskCounts(), 0, 0, (), (), ())


def test_a_database_that_was_set_back_is_read_anew(open_store: Opener, database: Documents) -> None:
    store = open_store()
    job, keys = start_job(store, 3)
    backup = [list(database[name].find({})) for name in ("jobs", "blocks")]
    complete(store, keys)
    assert store.count_tasks(job.id)[TaskState.DONE] == 3
    for name, records in zip(("jobs", "blocks"), backup, strict=True):
        database[name].delete_many({})
        database[name].insert_many(records)
    assert store.count_tasks(job.id) == TaskCounts({TaskState.PENDING: 3})
    assert store.unpublished_tasks(job.id, NOW, 10) == keys


def test_a_job_that_ended_and_runs_again_is_counted_right(open_store: Opener) -> None:
    store, other = open_store(), open_store()
    job, keys = start_job(store, 3)
    complete(store, keys)
    for _ in range(2):
        store.close_job(job.id, NOW)
        assert [each.count_tasks(job.id)[TaskState.DONE] for each in (store, other, store)] == [3, 3, 3]
        store.retry_tasks(job.id, keys[:1], NOW)
        assert [each.count_tasks(job.id)[TaskState.DONE] for each in (store, other)] == [2, 2]
        complete(store, keys[:1])


def test_any_number_of_jobs_is_counted_in_little_memory(open_store: Opener) -> None:
    store = open_store()
    remembered = store._states = TaskStates(14)
    jobs = [start_job(store, 5)[0] for _ in range(4)]
    for _ in range(2):
        for job in jobs:
            assert store.count_tasks(job.id).total == 5
        assert remembered.n_tasks == 12, "two jobs have their place, and keep it"
    for job in jobs:
        store.cancel_job(job.id, NOW)
        assert store.count_tasks(job.id)[TaskState.CANCELLED] == 5
    assert remembered.n_tasks == 0


def test_a_change_that_was_missed_is_not_missed_for_good(open_store: Opener, database: Documents) -> None:
    store, now = open_store(), 0.0
    store._states = TaskStates(max_seconds=60.0, seconds=lambda: now)
    job, keys = start_job(store, 3)
    assert store.count_tasks(job.id)[TaskState.PENDING] == 3
    # As by a server that answers out of turn: the record is there, and its revision was passed.
    database["blocks"].update_one({"tasks.id": keys[0].id}, {"$set": {"tasks.$.state": "done"}})
    now = 60.0
    assert store.count_tasks(job.id)[TaskState.PENDING] == 3
    now = 61.0
    assert store.count_tasks(job.id)[TaskState.PENDING] == 2


def test_publications_that_are_over_do_not_pile_up(store: MongoStore, database: Documents) -> None:
    job, keys = start_job(store, 6)
    for key in keys:
        # Published anew, as when nobody claims it for long; then run.
        for time in (NOW, LATER):
            store.mark_published([key], time)
            assert database["publications"].count_documents({}) == 1
        claim(store, [key], key.short_id)
        store.finish_tasks(key.short_id, [done(key)], NOW)
    store.close_job(job.id, NOW)
    store.delete_job(job.id)
    assert database["publications"].count_documents({}) == 0


def test_the_server_forgets_a_publication_by_its_own_clock(store: MongoStore, database: Documents) -> None:
    _, keys = start_job(store, 3)
    for days in (-1000, 1000):  # a scheduler whose clock is wrong
        store.mark_published(keys, NOW + timedelta(days=days))
    expiring = [
        field
        for index in database["publications"].index_information().values()
        if "expireAfterSeconds" in index
        for field, _ in index["key"]
    ]
    assert expiring
    server_time = database.client.admin.command("hello")["localTime"]
    for publication in database["publications"].find():
        for field in expiring:
            assert abs(server_time - publication[field]) < timedelta(minutes=5)


def test_a_damaged_publication_holds_up_nothing(store: MongoStore, database: Documents) -> None:
    job, keys = start_job(store, 3)
    store.mark_published(keys[:1], NOW)
    database["publications"].update_many({}, {"$unset": {"at": True}})
    assert store.unpublished_tasks(job.id, NOW, 10) == keys
    assert store.count_outstanding(job.id, NOW) == 0
    store.mark_published(keys[:2], NOW)
    assert store.unpublished_tasks(job.id, NOW, 10) == keys[2:]
    assert database["publications"].count_documents({}) == 1


@pytest.mark.parametrize(
    "damage",
    [
        {"$set": {"tasks.$.state": "sleeping"}},
        {"$unset": {"tasks.$.revision": True}},
        {"$set": {"tasks.$.waiting_from": None}},
    ],
    ids=["state", "revision", "waiting_from"],
)
def test_a_damaged_record_is_told_and_not_counted(
    store: MongoStore, database: Documents, damage: dict[str, Any]
) -> None:
    job, keys = start_job(store, 2)
    database["blocks"].update_one({"tasks.id": keys[0].id}, damage)
    with pytest.raises(DataLoss, match=keys[0].id):
        store.count_tasks(job.id)
