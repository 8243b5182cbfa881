"""Counts of jobs and tasks: by one process at a time, and never an old truth or an empty one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.backends.sqlite import SqliteStore
from services.core.errors import StoreUnavailable
from services.core.jobs import JobState
from services.core.ports import Store
from services.core.tasks import TaskState
from services.telemetry.census import Census, take_counts
from services.telemetry.instruments import Instruments
from services.telemetry.observation import Observation
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
    instruments = Instruments("scheduler")
    census = Census(store, instruments, interval_seconds=3600.0, seconds=lambda: now[0])
    assert told(census) == 0
    census.note(True)
    census.count()
    assert told(census) > 0
    now[0] = 61.0
    assert told(census) == 0, "no sweep for a minute: another process may tell other counts"
    assert instruments.registry.get_sample_value("kmeans_sweeping") == 0
    census.note(True)
    assert told(census) > 0
    assert instruments.registry.get_sample_value("kmeans_sweeping") == 1
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


@pytest.fixture
def observation() -> Iterator[Observation]:
    made = Observation("scheduler")
    yield made
    made.close()


@pytest.mark.parametrize("error", [StoreUnavailable("gone."), ValueError("a bug")], ids=["outage", "bug"])
def test_who_cannot_ask_for_the_lease_of_the_sweep_does_not_sweep(
    store: SqliteStore, observation: Observation, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    broken: list[Exception] = []
    ask = store.acquire_lease

    def acquire(name: str, holder: str, until: datetime, now: datetime) -> bool:
        if broken:
            raise broken[0]
        return ask(name, holder, until, now)

    monkeypatch.setattr(store, "acquire_lease", acquire)
    observed: Store = observation.store(store)
    sweeping = partial(observation.instruments.registry.get_sample_value, "kmeans_sweeping")
    assert observed.acquire_lease("sweep:q", "me", LATER + timedelta(seconds=10), LATER)
    assert sweeping() == 1
    broken.append(error)
    with pytest.raises(type(error)):
        observed.acquire_lease("job:1", "me", LATER, LATER)
    assert sweeping() == 1, "another lease says nothing of the sweep"
    with pytest.raises(type(error)):
        observed.acquire_lease("sweep:q", "me", LATER, LATER)
    assert sweeping() == 0
