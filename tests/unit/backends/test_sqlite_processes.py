"""Several processes on one SQLite file, and one that is killed."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path

from services.backends.sqlite import SqliteStore
from services.core.tasks import TaskKey
from tests.child_processes import assert_all_or_nothing, child, output, start
from tests.contract.samples import LONG, start_job

PREAMBLE = """
import sys
from pathlib import Path
from services.backends.sqlite import SqliteStore
from services.core.tasks import TaskKey
from tests.contract.samples import claim, done, failed, make_dataset, make_job, make_keys, NOW

path, name = Path(sys.argv[1]), sys.argv[2]

def tell(*words):
    print(*words, flush=True)

def wait_for_start():
    tell("ready")
    sys.stdin.readline()
"""

WRITE_FOR_EVER = """
store = SqliteStore(path)
dataset = store.insert_dataset(make_dataset())
while True:
    job = store.insert_job(make_job(dataset))
    tell("job", job.id)
    keys = make_keys(job, 20)
    store.start_job(job.id, keys, NOW)
    tell("started", job.id)
    claim(store, keys, "a")
    store.finish_tasks("a", [done(key) for key in keys], NOW)
    tell("finished", job.id)
    store.close_job(job.id, NOW)
    tell("closed", job.id)
"""

CLAIM_ALL = """
store = SqliteStore(path)
keys = [TaskKey.parse(line) for line in Path(sys.argv[3]).read_text().split()]
wait_for_start()
for start in range(0, len(keys), 3):
    for key in claim(store, keys[start : start + 5], name):
        tell(key.id)
store.close()
"""

OPEN_A_NEW_FILE = """
wait_for_start()
for number in range(20):
    SqliteStore(path / str(number)).close()
tell("opened")
"""

CLAIM_ONE = """
wait_for_start()
store = SqliteStore(path)
assert claim(store, [TaskKey.parse(sys.argv[3])], name)
store.close()
"""


def test_a_killed_process_loses_no_acknowledged_write(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    for n_lines in (1, 38, 75):
        with child("-c", PREAMBLE + WRITE_FOR_EVER, path, "writer") as process:
            told = [output(process).readline() for _ in range(n_lines)]
            process.kill()
            told += output(process).readlines()
        with closing(SqliteStore(path)) as store:
            assert len(told) >= n_lines
            assert_all_or_nothing(store, told)
            with store._database.read() as transaction:
                assert transaction.one("PRAGMA integrity_check") == ("ok",)
                assert transaction.all("PRAGMA foreign_key_check") == []


def test_two_processes_never_share_a_task(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    with closing(SqliteStore(path)) as store:
        job, keys = start_job(store, 300)
        (tmp_path / "keys").write_text("\n".join(key.id for key in keys))
        with ExitStack() as running:
            processes = [
                running.enter_context(child("-c", PREAMBLE + CLAIM_ALL, path, name, tmp_path / "keys"))
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


def test_processes_that_open_a_new_file_at_once_all_succeed(tmp_path: Path) -> None:
    with ExitStack() as running:
        processes = [
            running.enter_context(child("-c", PREAMBLE + OPEN_A_NEW_FILE, tmp_path, number))
            for number in range(3)
        ]
        start(processes)
        for process in processes:
            assert output(process).read() == "opened\n"


def test_a_change_of_another_process_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    with closing(SqliteStore(path)) as store:
        job, keys = start_job(store, 1)
        with child("-c", PREAMBLE + CLAIM_ONE, path, "other", keys[0].id) as process:
            start([process])
            assert store.wait_for_change(job.id, job.revision, LONG) > job.revision
        assert store.get_task(keys[0]).attempt_id == "other"
