"""The file of the SQLite store: what opens, what is refused, and what the driver's failures become."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest

from services.backends.sqlite import SCHEMA_VERSION, SqliteStore, jobs
from services.backends.sqlite.failures import translate
from services.core.errors import (
    DataLoss,
    FailedPrecondition,
    InvalidInput,
    ServiceError,
    StoreUnavailable,
)
from services.core.pages import PageRequest
from tests.contract.samples import LONG, NOW, claim, make_dataset, start_job

T = TypeVar("T")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path, busy_timeout_seconds=0.05)
    yield store
    store.close()


def edit(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_the_folder_is_made_and_the_file_left_whole(tmp_path: Path) -> None:
    path = tmp_path / "a b" / "c" / "jobs.sqlite"
    SqliteStore(path).close()
    assert [file.name for file in path.parent.iterdir()] == ["jobs.sqlite"]


def test_commits_go_to_the_disk(store: SqliteStore) -> None:
    with store._database.write() as transaction:
        assert transaction.one("PRAGMA synchronous") == (2,)
        assert transaction.one("PRAGMA journal_mode") == ("wal",)
        assert transaction.one("PRAGMA foreign_keys") == (1,)


def test_a_newer_schema_is_refused(path: Path, store: SqliteStore) -> None:
    store.close()
    edit(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(FailedPrecondition, match="Use the newer program") as caught:
        SqliteStore(path)
    assert caught.value.reason == "STORE_TOO_NEW"


def test_a_database_of_another_program_is_refused_and_kept(path: Path) -> None:
    edit(path, "CREATE TABLE theirs (a)")
    with pytest.raises(InvalidInput, match="another program"):
        SqliteStore(path)
    edit(path, "INSERT INTO theirs VALUES (1)")


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("id,depth\n1,2\n" * 100)
    with pytest.raises(DataLoss, match="no SQLite database"):
        SqliteStore(path)


def test_a_path_that_cannot_be_a_file_is_refused(path: Path, tmp_path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        SqliteStore(path)
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="cannot be made"):
        SqliteStore(tmp_path / "file" / "jobs.sqlite")


def test_a_lock_of_another_process_is_unavailability(path: Path, store: SqliteStore) -> None:
    dataset = store.insert_dataset(make_dataset())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked by another process"):
            store.insert_dataset(make_dataset())
        assert store.get_dataset(dataset.id) == dataset
        other.execute("ROLLBACK")
    store.insert_dataset(make_dataset())


def test_a_change_that_never_ends_does_not_hold_up_others_for_ever(store: SqliteStore) -> None:
    with (
        store._database.write(),
        pytest.raises(StoreUnavailable, match="busy with other changes"),
    ):
        store.insert_dataset(make_dataset())


def test_a_full_disk_keeps_nothing_of_the_change(store: SqliteStore) -> None:
    dataset = store.insert_dataset(make_dataset())
    connection = store._database._writer
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match="is full"):
        start_job(store, 600)
    connection.execute("PRAGMA max_page_count = 1000000")
    assert all(store.all_tasks(job.id) == () for job in store.unfinished_jobs())
    assert store.get_dataset(dataset.id) == dataset
    job, keys = start_job(store, 600)
    assert len(store.all_tasks(job.id)) == len(keys)


def test_an_error_in_the_middle_undoes_the_change(store: SqliteStore) -> None:
    job, _ = start_job(store, 3)

    def delete_and_fail() -> None:
        with store._database.write() as transaction:
            transaction.execute("DELETE FROM tasks")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        delete_and_fail()
    assert len(store.all_tasks(job.id)) == 3


def test_damaged_pages_are_data_loss(path: Path, store: SqliteStore) -> None:
    for _ in range(50):
        store.insert_dataset(make_dataset())
    store.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with closing(SqliteStore(path)) as damaged, pytest.raises(DataLoss, match="damaged"):
        damaged.list_datasets(None, PageRequest())


@pytest.mark.parametrize("document", ["{", "{}", "[]", "null", '{"correlation": 1}'])
def test_a_damaged_record_is_data_loss(path: Path, store: SqliteStore, document: str) -> None:
    dataset = store.insert_dataset(make_dataset())
    edit(path, f"UPDATE datasets SET document = '{document}'")
    with pytest.raises(DataLoss, match=f"dataset {dataset.id}") as caught:
        store.get_dataset(dataset.id)
    assert caught.value.reason == "RECORD_DAMAGED"


def test_a_read_only_database_is_unavailability(path: Path, store: SqliteStore) -> None:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("DELETE FROM jobs")
        translated = translate(caught.value, path)
    assert isinstance(translated, StoreUnavailable)
    assert "permissions" in translated.message


def test_a_refused_statement_is_not_worth_a_retry(store: SqliteStore) -> None:
    with pytest.raises(ServiceError) as caught, store._database.write() as transaction:
        transaction.execute("INSERT INTO tasks (job_id) VALUES (NULL)")
    assert not caught.value.retryable
    store.ping()


def test_waiting_leaves_nothing_behind(store: SqliteStore) -> None:
    job, _ = start_job(store, 1)
    store.wait_for_change(job.id, job.revision, 0.0)
    assert store._database.wakeups._events == {}


def test_who_waits_is_woken_by_changes_of_its_job_alone(store: SqliteStore) -> None:
    job, keys = start_job(store, 1)
    other, other_keys = start_job(store, 1)
    with store._database.wakeups.listening(job.id) as woken:
        claim(store, other_keys, "a")
        claim(store, keys, "a")
        assert woken.is_set()
        woken.clear()
        claim(store, other_keys, "b")
        claim(store, keys, "b")
        store.cancel_job(other.id, NOW)
        assert not woken.is_set()
        store.cancel_job(job.id, NOW)
        assert woken.is_set()
        woken.clear()
        store.delete_job(job.id)
        assert woken.is_set()
        woken.clear()
        store.close()
        assert woken.is_set()


def test_a_change_of_this_process_needs_no_poll(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_POLL_SECONDS", LONG)
    job, keys = start_job(store, 1)
    with ThreadPoolExecutor(3) as threads:
        waits = [threads.submit(store.wait_for_change, job.id, job.revision, LONG) for _ in range(3)]
        claim(store, keys, "a")
        assert [wait.result(60) for wait in waits] == [job.revision + 1] * 3


def test_a_file_from_before_traces_is_used_by_old_and_new_programs(path: Path, store: SqliteStore) -> None:
    job, _ = start_job(store)
    store.close()
    edit(path, "ALTER TABLE jobs DROP COLUMN traceparent")
    with closing(SqliteStore(path)) as newer:
        assert newer.get_job(job.id).traceparent == ""
        # As a program that knows nothing of the column writes it.
        edit(
            path,
            "INSERT INTO jobs (id, owner, display_name, dataset_id, spec, row_count, skipped_row_count, "
            "created_at, state, revision, failure, request_id) SELECT 'older', owner, display_name, "
            "dataset_id, spec, row_count, skipped_row_count, created_at, state, revision, failure, '' "
            "FROM jobs",
        )
        assert newer.get_job("older").traceparent == ""
