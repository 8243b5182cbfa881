"""Which open changes are ended: those of processes that are gone, never those of processes that live."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import PyMongoError

from services.backends.mongodb import MongoStore
from services.backends.mongodb.writers import Suspicion, Writers
from tests.contract.samples import make_dataset
from tests.integration.jobs.conftest import until


@pytest.fixture
def writers(store: MongoStore, database: Database[dict[str, Any]]) -> Collection[dict[str, Any]]:
    """The collection that processes share; the store has made it."""
    database["leases"].insert_many([{"_id": "1", "held": 0}, {"_id": "2", "held": 0}])
    return database["writers"]


def begin(
    database: Database[dict[str, Any]], client: MongoClient[dict[str, Any]], number: int
) -> ClientSession:
    """Open a transaction that has touched a document."""
    session = client.start_session()
    session.start_transaction()
    database["leases"].update_one({"_id": f"{number}"}, {"$set": {"held": 1}}, session=session)
    return session


def test_only_a_silent_process_loses_its_open_change(
    writers: Collection[dict[str, Any]], database: Database[dict[str, Any]]
) -> None:
    client = database.client
    quiet, alive, waiting = Writers(writers), Writers(writers), Writers(writers)
    of_quiet, of_alive = begin(database, client, 1), begin(database, client, 2)
    quiet.note(of_quiet)
    quiet.show_sign()
    alive.note(of_alive)
    before = waiting.signs()
    alive.show_sign()
    assert waiting.end_silent(before) == 1
    of_alive.commit_transaction()
    with pytest.raises(PyMongoError):
        of_quiet.commit_transaction()
    assert [each["_id"] for each in database["leases"].find({"held": 1})] == ["2"]


def test_one_that_was_never_long_at_a_change_counts_as_silent(
    writers: Collection[dict[str, Any]], database: Database[dict[str, Any]]
) -> None:
    dead, waiting = Writers(writers), Writers(writers)
    session = begin(database, database.client, 1)
    dead.note(session)
    assert waiting.end_silent(waiting.signs()) == 1
    session.end_session()


def test_a_long_change_shows_that_its_process_lives(
    writers: Collection[dict[str, Any]], database: Database[dict[str, Any]]
) -> None:
    busy, waiting = Writers(writers), Writers(writers)
    with database.client.start_session() as session, busy.changing(session):
        until(lambda: sum(waiting.signs().values()) > 0)
        before = waiting.signs()
        until(lambda: waiting.signs() != before)
    busy.close()


def test_what_follows_an_end_works(store: MongoStore, writers: Collection[dict[str, Any]]) -> None:
    dataset = store.insert_dataset(make_dataset())
    other = Writers(writers)
    other.end_silent(other.signs())
    assert store.get_dataset(dataset.id) == dataset


def test_nobody_is_taken_for_dead_while_the_job_moves_on(
    writers: Collection[dict[str, Any]],
    database: Database[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("services.backends.mongodb.writers._UNEASY_SECONDS", 0.0)
    monkeypatch.setattr("services.backends.mongodb.writers._WATCH_SECONDS", 0.0)
    quick, waiting = Writers(writers), Writers(writers)
    session = begin(database, database.client, 1)
    quick.note(session)
    moving, standing = Suspicion(waiting, iter(range(9)).__next__), Suspicion(waiting, lambda: 7)
    for _ in range(2):
        moving.look()
    session.commit_transaction()
    session.start_transaction()
    database["leases"].update_one({"_id": "1"}, {"$set": {"held": 2}}, session=session)
    for _ in range(2):
        standing.look()
    with pytest.raises(PyMongoError):
        session.commit_transaction()
