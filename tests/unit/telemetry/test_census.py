"""Counts of jobs and tasks: by one process at a time, and never an old truth or an empty one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.backends.sqlite import SqliteStore
from services.core.errors import StoreUnavailable
from services.core.jobs import JobState
from services.core.tasks import TaskState
from services.telemetry.census import Census, take_counts
from services.telemetry.instruments import Instruments
from tests.contract.samples import LATER, claim, start_job


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "jobs.sqlite")) as opened:
        yield opened


def told(census: Census) -> int:
    return sum(len(family.samples) for family in census.collect())


def test_tasks_of_unfinished_jobs_are_counted(store: SqliteStore) -> None:
    _, keys = start_job(store, 6)
    start_job(store, 3)
    ended, _ = start_job(store, 5)
    store.cancel_job(ended.id, LATER)
    claim(store, keys[:2], "a1")
    counts = take_counts(store, lambda: LATER)
    assert counts.jobs[JobState.RUNNING] == 2
    assert counts.jobs[JobState.CANCELLED] == 1
    assert counts.jobs[JobState.PENDING] == 0
    assert counts.tasks[TaskState.RUNNING] == 2
    assert counts.tasks[TaskState.PENDING] == 7
    assert counts.tasks[TaskState.CANCELLED] == 0
    assert counts.oldest_seconds == 60.0


def test_nothing_is_told_without_the_lease_after_an_outage_or_when_the_sweep_is_silent(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    # The thread never wakes: the test counts in its stead.
    census = Census(store, Instruments("scheduler"), interval_seconds=3600.0, seconds=lambda: now[0])
    assert told(census) == 0
    census.note(True)
    census.count()
    assert told(census) > 0
    now[0] = 61.0
    assert told(census) == 0, "no sweep for a minute: another process may tell other counts"
    census.note(True)
    assert told(census) > 0
    census.note(False)
    assert told(census) == 0
    census.note(True)
    census.stop()

    def away() -> None:
        raise StoreUnavailable("gone for a moment.")

    monkeypatch.setattr(store, "count_jobs", away)
    with capture_logs() as logs:
        census.count()
    assert told(census) == 0
    assert [line["event"] for line in logs] == ["jobs not counted"]
