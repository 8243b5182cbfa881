"""Several processes on one MongoDB database, and one that is killed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from services.backends.mongodb import MongoStore
from services.core.tasks import Task, TaskKey, TaskState
from tests.child_processes import assert_all_or_nothing, output, start
from tests.contract.samples import start_job
from tests.integration.mongodb.children import child


def test_two_processes_never_share_a_task(store: MongoStore, database_url: str, tmp_path: Path) -> None:
    job, keys = start_job(store, 120)
    (tmp_path / "keys").write_text("\n".join(key.id for key in keys))
    with ExitStack() as running:
        processes = [
            running.enter_context(child("claim_all", database_url, name, tmp_path / "keys"))
            for name in ("one", "two")
        ]
        start(processes)
        claimed = {
            name: [TaskKey.parse(line.strip()) for line in output(process)]
            for name, process in zip(("one", "two"), processes, strict=True)
        }
    assert sorted([*claimed["one"], *claimed["two"]]) == sorted(keys)
    for task in store.all_tasks(job.id):
        assert task.key in claimed[task.attempt_id]
        assert task.attempts == 1


def test_writers_in_processes_never_outrun_a_watcher(
    store: MongoStore, database_url: str, tmp_path: Path
) -> None:
    """As the gateway reads: a revision first, then what changed up to it, on from the last one seen."""
    job, keys = start_job(store, 60)
    seen: dict[TaskKey, Task] = {}
    revision = 0
    with ExitStack() as running:
        processes = []
        for number in range(3):
            (tmp_path / str(number)).write_text("\n".join(key.id for key in keys[number::3]))
            processes.append(
                running.enter_context(child("work_through", database_url, number, tmp_path / str(number)))
            )
        start(processes)
        while True:
            ended = all(process.poll() is not None for process in processes)
            current = store.get_job(job.id).revision
            assert current >= revision
            while revision < current:
                tasks = store.changed_tasks(job.id, revision, 7)
                assert tasks, "a revision that no task has"
                assert all(task.revision > revision for task in tasks)
                seen.update({task.key: task for task in tasks})
                revision = tasks[-1].revision
            if ended:
                break
        assert all(process.returncode == 0 for process in processes)
    assert tuple(seen[key] for key in keys) == store.all_tasks(job.id)
    assert store.count_tasks(job.id)[TaskState.DONE] == 60


def test_a_killed_process_loses_no_acknowledged_write(store: MongoStore, database_url: str) -> None:
    for n_lines in (1, 14, 27):
        with child("write_for_ever", database_url, "writer") as process:
            told = [output(process).readline() for _ in range(n_lines)]
            process.kill()
            told += output(process).readlines()
        assert_all_or_nothing(store, told)


def test_processes_that_open_a_new_database_at_once_all_succeed(
    database_url: str, open_store: Callable[[], MongoStore]
) -> None:
    with ExitStack() as running:
        processes = [running.enter_context(child("open", database_url, number)) for number in range(3)]
        start(processes)
        for process in processes:
            assert output(process).read() == "opened\n"
    open_store().ping()
