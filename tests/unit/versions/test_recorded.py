"""Messages and records of the version before, recorded from its code: each version reads the other's.

Readers ignore what they do not know. What this version writes is therefore read by the one before when it has
all that was there before, unchanged: that is tested here, and `tests/e2e/test_versions.py` runs the older
code itself. When a release is made, record it anew: the older one is then supported no more.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pika
import pytest

from services.backends.mongodb.records import (
    dataset_record,
    job_record,
    read_dataset_record,
    read_job_record,
    read_task,
    task_record,
)
from services.backends.rabbitmq.messages import BundleMessage, event_message, read_event
from services.backends.sqlite import SCHEMA_VERSION, SqliteStore
from services.core.covariance import Covariance
from services.core.tasks import Part, TaskKey

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "recorded.json").read_text())
KEYS = (
    TaskKey("job1", 1, 2, Covariance.FULL_UNTIED),
    TaskKey("job1", 1, 2, Covariance.FULL_UNTIED, Part(0, 5)),
)
TOMORROW = {"of_tomorrow": {"any": [1, None, "thing"]}}


def document(kind: str) -> dict[str, Any]:
    """A recorded MongoDB document, or a task of one, its dates as the driver gives them."""

    def revive(value: dict[str, Any]) -> Any:
        return datetime.fromisoformat(value["$date"]) if set(value) == {"$date"} else value

    found: dict[str, Any] = json.loads(json.dumps(RECORDED["mongodb"][kind]), object_hook=revive)
    return found


def bundle(extra_body: dict[str, Any], extra_headers: dict[str, Any]) -> BundleMessage:
    body = json.loads(RECORDED["bundle"]["body"]) | extra_body
    headers = RECORDED["bundle"]["headers"] | extra_headers
    return BundleMessage.read(json.dumps(body).encode(), pika.BasicProperties(headers=headers), False)


@pytest.mark.parametrize("extra", [{}, TOMORROW], ids=["recorded", "with a field of tomorrow"])
def test_an_older_bundle_is_read_and_a_newer_one_keeps_all_that_was(extra: dict[str, Any]) -> None:
    message = bundle(extra, extra)
    assert message.bundle.keys == KEYS
    assert (message.failures, message.reason, message.redelivered) == (1, "no luck.", True)
    assert (message.bundle.published_at, message.bundle.traceparent) == (None, "")
    written = message.to("", "queue")
    assert json.loads(written.body).items() >= json.loads(RECORDED["bundle"]["body"]).items()
    assert written.properties.headers.items() >= RECORDED["bundle"]["headers"].items()


def test_an_older_event_is_read_and_a_newer_one_keeps_all_that_was() -> None:
    event = read_event(RECORDED["event"].encode())
    assert event.job_id == "job1"
    assert json.loads(event_message("queue", event).body).items() >= json.loads(RECORDED["event"]).items()


@pytest.mark.parametrize("extra", [{}, TOMORROW], ids=["recorded", "with a field of tomorrow"])
def test_older_documents_are_read_and_newer_ones_keep_all_that_was(extra: dict[str, Any]) -> None:
    dataset = read_dataset_record(document("dataset") | extra)
    assert dataset_record(dataset).items() >= document("dataset").items()
    job = read_job_record(document("job") | extra)
    assert job_record(job).items() >= document("job").items()
    assert job.traceparent == ""
    for kind, key, n_parts in (("task", KEYS[0], 1), ("part", KEYS[1], 0)):
        assert read_task(document(kind) | extra).key == key
        assert task_record(key, n_parts, 3).items() >= document(kind).items()


@pytest.fixture
def older_file(tmp_path: Path) -> Path:
    """A SQLite file as the version before made it, with a dataset, a job and a task in it."""
    recorded = RECORDED["sqlite"]
    path = tmp_path / "jobs.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(recorded["tables"])
        connection.execute(f"PRAGMA user_version = {recorded['version']}")
        for table in ("dataset", "job", "task"):
            insert(connection, table)
        connection.commit()
    return path


def insert(connection: sqlite3.Connection, table: str, **changed: str) -> None:
    columns, row = RECORDED["sqlite"][table]
    names = columns.split(", ")
    values = [changed.get(name, value) for name, value in zip(names, row, strict=True)]
    if table == "task":
        names, values = [*names, "state", "revision"], [*values, "pending", 3]
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table}s ({', '.join(names)}) VALUES ({marks})", values)


def test_an_older_file_is_used_by_both_versions(older_file: Path) -> None:
    assert RECORDED["sqlite"]["version"] == SCHEMA_VERSION, "older programs refuse a newer version"
    with closing(SqliteStore(older_file)) as store:
        job = store.get_job("job1")
        assert job.spec == read_job_record(document("job")).spec
        assert store.get_task(KEYS[0]).revision == 3
        # The version before goes on writing beside this one, into a file that this one has changed.
        with closing(sqlite3.connect(older_file)) as connection:
            insert(connection, "job", id="job2", request_id="r2")
            read = connection.execute(f"SELECT {RECORDED['sqlite']['job'][0]} FROM jobs WHERE id = 'job1'")
            assert list(read.fetchone()) == RECORDED["sqlite"]["job"][1]
            connection.commit()
        assert store.get_job("job2").spec == job.spec
