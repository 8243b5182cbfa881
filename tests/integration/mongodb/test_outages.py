"""The server is killed and comes back: what was acknowledged is there, and everybody goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from services.backends.mongodb import MongoStore
from services.core.errors import StoreUnavailable
from services.core.pages import PageRequest
from services.core.tasks import TaskKey, TaskState
from tests.contract.samples import (
    LONG,
    NOW,
    claim,
    complete,
    done,
    make_dataset,
    make_job,
    make_keys,
    start_job,
)
from tests.servers.mongodb import MongoDB


@pytest.fixture
def store(own_server: MongoDB) -> Iterator[MongoStore]:
    own_server.start()
    store = MongoStore(f"{own_server.url}&serverSelectionTimeoutMS=500")
    yield store
    store.close()


def test_a_killed_server_is_said_to_be_away_and_loses_nothing(own_server: MongoDB, store: MongoStore) -> None:
    job, keys = start_job(store, 4)
    complete(store, keys[:2])
    claim(store, keys[2:3], "a")
    before, tasks = store.get_job(job.id), store.all_tasks(job.id)
    own_server.kill()
    for call in (
        store.ping,
        lambda: store.get_job(job.id),
        lambda: store.list_datasets(None, PageRequest()),
        lambda: store.acquire_lease("sweep", "a", NOW, NOW),
        lambda: store.wait_for_change(job.id, before.revision, LONG),
    ):
        with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1.*does not answer"):
            call()
    own_server.start()
    assert (store.get_job(job.id), store.all_tasks(job.id)) == (before, tasks)
    assert store.get_model(keys[0])
    assert store.finish_tasks("a", [done(keys[2])], NOW) == keys[2:3]
    complete(store, keys[3:], "b")
    assert store.close_job(job.id, NOW).state == "succeeded"


def test_a_change_outlasts_a_short_outage(own_server: MongoDB, store: MongoStore) -> None:
    _, keys = start_job(store, 3)
    own_server.kill()
    with ThreadPoolExecutor(1) as threads:
        claiming = threads.submit(claim, store, keys, "a")
        own_server.start()
        # Unavailable when the server took longer to start than a change waits.
        with suppress(StoreUnavailable):
            assert claiming.result(LONG) in (keys, ())
    held = {task.key for task in store.all_tasks(keys[0].job_id) if task.attempt_id == "a"}
    assert held in (set(keys), set())


def test_what_was_acknowledged_survives_a_kill_amid_writes(own_server: MongoDB, store: MongoStore) -> None:
    dataset = store.insert_dataset(make_dataset())
    started: list[TaskKey] = []
    finished: list[TaskKey] = []
    some_written, stop = threading.Event(), threading.Event()

    def write(number: int) -> None:
        while not stop.is_set():
            try:
                job = store.insert_job(make_job(dataset))
                keys = make_keys(job, 12)
                store.start_job(job.id, keys, NOW)
                started.extend(keys)
                held = claim(store, keys, f"{number}")
                finished.extend(store.finish_tasks(f"{number}", [done(key) for key in held], NOW))
            except StoreUnavailable:
                stop.wait(0.01)
            if len(finished) > 60:
                some_written.set()

    with ThreadPoolExecutor(4) as threads:
        writers = [threads.submit(write, number) for number in range(4)]
        try:
            assert some_written.wait(LONG)
            own_server.kill()
            own_server.start()
            n_before = len(finished)
            while len(finished) < n_before + 24:  # everybody goes on
                assert not any(writer.done() for writer in writers)
                store.ping()
        finally:
            stop.set()
        for writer in writers:
            writer.result()
    by_job = {key.job_id for key in started}
    tasks = {task.key: task for job_id in by_job for task in store.all_tasks(job_id)}
    assert set(started) <= set(tasks)
    for key in finished:
        assert tasks[key].state is TaskState.DONE
        assert store.get_model(key)
    for job_id in by_job:
        # All of a change or nothing of it.
        assert store.count_tasks(job_id)[TaskState.DONE] in (0, 12)
