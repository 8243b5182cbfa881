"""What uploads that were cut off left behind is removed in time, and nothing else, on every object store."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.backends.sqlite import SqliteStore
from services.core.datasets import Dataset, original_key, table_key
from services.core.errors import DataLoss, ObjectsUnavailable
from services.core.ports import ObjectStore
from services.core.settings import Settings
from services.scheduler.orphans import OrphanSweep
from tests.contract.samples import fresh_id, make_dataset

SETTINGS = Settings(orphan_seconds=86400, orphan_sweep_seconds=3600)


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "jobs.sqlite")
    yield store
    store.close()


def put(objects: ObjectStore, dataset_id: str) -> str:
    for key in (original_key(dataset_id), table_key(dataset_id)):
        objects.put(key, [b"bytes"])
    return dataset_id


def keep(store: SqliteStore, objects: ObjectStore) -> Dataset:
    dataset = store.insert_dataset(make_dataset())
    put(objects, dataset.id)
    return dataset


def is_there(objects: ObjectStore, dataset_id: str) -> bool:
    return objects.exists(original_key(dataset_id)) and objects.exists(table_key(dataset_id))


def sweep(store: SqliteStore, objects: ObjectStore, clock: Clock, holder_id: str = "a") -> OrphanSweep:
    return OrphanSweep(store, objects, SETTINGS, clock=clock, holder_id=holder_id)


def test_an_old_orphan_is_removed_when_it_is_found_again(
    store: SqliteStore, objects: ObjectStore, clock: Clock
) -> None:
    kept, orphan = keep(store, objects), put(objects, fresh_id())
    search = sweep(store, objects, clock)
    for _ in range(3):
        search.run()
        clock.move(hours=2)
    assert is_there(objects, orphan)  # it is younger than a day: an upload may be at it
    clock.move(days=1)
    search.run()
    assert is_there(objects, orphan)
    clock.move(minutes=59)
    search.run()
    assert is_there(objects, orphan)
    clock.move(minutes=2)
    search.run()
    assert not objects.exists(original_key(orphan))
    assert not objects.exists(table_key(orphan))
    assert is_there(objects, kept.id)


def test_a_slow_upload_keeps_its_objects(store: SqliteStore, objects: ObjectStore, clock: Clock) -> None:
    dataset = make_dataset()
    put(objects, dataset.id)
    search = sweep(store, objects, clock)
    clock.move(days=2)
    search.run()
    store.insert_dataset(dataset)  # after more than a day, it ends well
    for _ in range(3):
        clock.move(hours=2)
        search.run()
    assert is_there(objects, dataset.id)


def test_a_store_that_knows_few_of_the_datasets_is_told_instead(
    store: SqliteStore, objects: ObjectStore, clock: Clock
) -> None:
    keep(store, objects)
    strangers = [put(objects, fresh_id()) for _ in range(11)]
    search = sweep(store, objects, clock)
    clock.move(days=2)
    with capture_logs() as logs:
        for _ in range(3):
            search.run()
            clock.move(hours=2)
    assert all(is_there(objects, stranger) for stranger in strangers)
    assert [(log["log_level"], log["orphans"], log["datasets"]) for log in logs] == [("error", 11, 1)] * 3


def test_of_two_schedulers_one_searches(store: SqliteStore, objects: ObjectStore, clock: Clock) -> None:
    orphan = put(objects, fresh_id())
    one, other = sweep(store, objects, clock, "a"), sweep(store, objects, clock, "b")
    clock.move(days=2)
    one.run()
    other.run()
    one.release()
    clock.move(hours=2)
    other.run()  # it has not seen the orphan before
    assert is_there(objects, orphan)
    clock.move(hours=2)
    one.run()
    other.run()
    assert not objects.exists(original_key(orphan))


def test_a_damaged_record_is_no_reason_to_lose_the_bytes(
    store: SqliteStore, objects: ObjectStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = keep(store, objects)

    def damaged(dataset_id: str) -> Dataset:
        raise DataLoss(f"The stored dataset {dataset_id} cannot be read.")

    monkeypatch.setattr(store, "get_dataset", damaged)
    search = sweep(store, objects, clock)
    clock.move(days=2)
    for _ in range(3):
        search.run()
        clock.move(hours=2)
    assert is_there(objects, kept.id)


def test_an_outage_puts_the_search_off(
    store: SqliteStore, objects: ObjectStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = put(objects, fresh_id())
    search = sweep(store, objects, clock)
    clock.move(days=2)
    search.run()

    def away(*_arguments: object, **_options: object) -> Iterator[str]:
        raise ObjectsUnavailable("The object store does not answer.")

    with monkeypatch.context() as outage:
        outage.setattr(objects, "list_keys", away)
        clock.move(hours=2)
        search.run()
    assert is_there(objects, orphan)
    clock.move(hours=2)
    search.run()
    assert not objects.exists(original_key(orphan))
