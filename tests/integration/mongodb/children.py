"""Processes of their own that use a store: `python -m tests.integration.mongodb.children ACTION URL NAME`."""

from __future__ import annotations

import subprocess
import sys
from contextlib import AbstractContextManager, closing
from pathlib import Path

from services.backends.mongodb import MongoStore
from services.core.tasks import TaskKey
from tests import child_processes
from tests.contract.samples import NOW, claim, done, make_dataset, make_job, make_keys


def child(action: str, *arguments: object) -> AbstractContextManager[subprocess.Popen[str]]:
    """A process that does this; it has ended, one way or another, on the way out."""
    return child_processes.child("-m", "tests.integration.mongodb.children", action, *arguments)


def _tell(*words: str) -> None:
    print(*words, flush=True)


def _wait_for_start() -> None:
    _tell("ready")
    sys.stdin.readline()


def _write_for_ever(store: MongoStore) -> None:
    dataset = store.insert_dataset(make_dataset())
    while True:
        job = store.insert_job(make_job(dataset))
        _tell("job", job.id)
        keys = make_keys(job, 20)
        store.start_job(job.id, keys, NOW)
        _tell("started", job.id)
        claim(store, keys, "a")
        store.finish_tasks("a", [done(key) for key in keys], NOW)
        _tell("finished", job.id)
        store.close_job(job.id, NOW)
        _tell("closed", job.id)


def _claim_all(store: MongoStore, name: str, keys: list[TaskKey]) -> None:
    for first in range(0, len(keys), 3):
        for key in claim(store, keys[first : first + 5], name):
            _tell(key.id)


def _work_through(store: MongoStore, name: str, keys: list[TaskKey]) -> None:
    for turn in range(2):
        claim(store, keys, f"{name}/{turn}")
        store.release_tasks(f"{name}/{turn}", NOW)
    for first in range(0, len(keys), 2):
        bundle = keys[first : first + 2]
        attempt_id = f"{name}/{first}"
        assert claim(store, bundle, attempt_id) == tuple(bundle)
        assert store.finish_tasks(attempt_id, [done(key) for key in bundle], NOW) == tuple(bundle)


def main(action: str, url: str, name: str, keys_file: str = "") -> None:
    """Do as the tests ask."""
    if action == "open":
        _wait_for_start()
    with closing(MongoStore(url)) as store:
        keys = [TaskKey.parse(line) for line in Path(keys_file).read_text().split()] if keys_file else []
        if action == "open":
            _tell("opened")
        elif action == "write_for_ever":
            _write_for_ever(store)
        else:
            _wait_for_start()
            {"claim_all": _claim_all, "work_through": _work_through}[action](store, name, keys)


if __name__ == "__main__":
    main(*sys.argv[1:])
