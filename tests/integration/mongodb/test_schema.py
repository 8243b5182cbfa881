"""Opening a database: what is made in it, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pymongo.database import Database

from services.backends.mongodb import SCHEMA_VERSION, MongoStore
from services.backends.mongodb.schema import prepare_schema
from services.backends.open import open_store as open_by_url
from services.core.errors import FailedPrecondition, InvalidInput
from tests.contract.samples import make_dataset

Documents = Database[dict[str, Any]]


def test_indexes_and_version_are_made_once(open_store: Callable[[], MongoStore], database: Documents) -> None:
    open_store()
    made = {name: database[name].index_information() for name in database.list_collection_names()}
    open_store()
    assert {name: database[name].index_information() for name in database.list_collection_names()} == made
    assert set(made["blocks"]) == {"_id_", "by_key", "by_change"}
    assert set(made["claims"]) == {"_id_", "by_attempt", "by_job", "by_lease"}
    assert database["schema"].find_one() == {"_id": "schema", "version": SCHEMA_VERSION}


def test_indexes_that_a_dying_process_left_out_are_made(
    open_store: Callable[[], MongoStore], database: Documents
) -> None:
    open_store()
    database["blocks"].drop_index("by_change")
    open_store()
    assert "by_change" in database["blocks"].index_information()


def test_a_newer_database_is_refused(open_store: Callable[[], MongoStore], database: Documents) -> None:
    open_store()
    database["schema"].update_one({"_id": "schema"}, {"$set": {"version": SCHEMA_VERSION + 1}})
    with pytest.raises(FailedPrecondition, match=f"version {SCHEMA_VERSION + 1}") as caught:
        open_store()
    assert caught.value.reason == "STORE_TOO_NEW"


def test_an_older_database_is_refused(open_store: Callable[[], MongoStore], database: Documents) -> None:
    open_store()
    database["schema"].update_one({"_id": "schema"}, {"$set": {"version": SCHEMA_VERSION - 1}})
    with pytest.raises(FailedPrecondition, match="earlier program") as caught:
        open_store()
    assert caught.value.reason == "STORE_TOO_OLD"


def test_a_database_of_another_program_is_refused(
    open_store: Callable[[], MongoStore], database: Documents
) -> None:
    database["jobs"].insert_one({"theirs": True})
    with pytest.raises(InvalidInput, match="another program") as caught:
        open_store()
    assert caught.value.reason == "NOT_A_STORE"
    assert database.list_collection_names() == ["jobs"]


def test_a_standalone_server_is_told_what_it_lacks() -> None:
    admin = SimpleNamespace(command=lambda name: {"isWritablePrimary": True})
    standalone = SimpleNamespace(client=SimpleNamespace(admin=admin))
    with pytest.raises(FailedPrecondition, match="--replSet") as caught:
        prepare_schema(cast(Documents, standalone), "The job store")
    assert caught.value.reason == "STORE_NEEDS_REPLICA_SET"


def test_a_store_opens_by_its_url(database_url: str, database: Documents) -> None:
    store = open_by_url(database_url)
    try:
        dataset = store.insert_dataset(make_dataset())
    finally:
        store.close()
    assert database["datasets"].count_documents({"_id": dataset.id}) == 1
