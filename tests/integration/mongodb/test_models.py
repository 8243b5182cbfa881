"""Models larger than a document, and what is left of models that nobody has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from pymongo.database import Database

from services.backends.mongodb import MongoStore
from services.backends.mongodb.models import CHUNK_BYTES, PACKED_BYTES, write_chunks
from services.core.covariance import Assignment, Covariance
from services.core.errors import DataLoss, NotFound
from services.core.models import FittedModel
from services.core.tasks import TaskKey
from tests.contract.samples import LATER, NOW, claim, complete, done, make_model, start_job

Documents = Database[dict[str, Any]]


def big_model() -> FittedModel:
    """The largest there is: 50 full covariances in 256 columns, 26 MB."""
    numbers = np.random.default_rng(5)
    return FittedModel(
        covariance=Covariance.FULL_UNTIED,
        assignment=Assignment.LIKELIHOOD,
        columns=tuple(f"column {number}" for number in range(256)),
        offset=numbers.normal(size=256),
        scale=numbers.normal(size=256),
        weights=np.full(50, 0.02),
        centers=numbers.normal(size=(50, 256)),
        parameters=numbers.normal(size=(50, 256, 256)),
    )


def test_the_largest_model_comes_back_bit_for_bit(store: MongoStore, database: Documents) -> None:
    job, keys = start_job(store, 2)
    model = big_model()
    claim(store, keys, "a")
    assert store.finish_tasks("a", [done(keys[0], model=model), done(keys[1])], NOW) == keys
    assert store.get_model(keys[0]).to_bytes() == model.to_bytes()
    assert store.get_model(keys[1]).to_bytes() == make_model().to_bytes()
    n_chunks = -(-len(model.to_bytes()) // CHUNK_BYTES)
    assert n_chunks > 2
    assert database["models"].count_documents({"task_id": keys[0].id}) == n_chunks
    assert database["models"].count_documents({"job_id": job.id}) == n_chunks + 1


def middling_model(seed: int) -> FittedModel:
    """One that is too large for a pack, in a single chunk."""
    numbers = np.random.default_rng(seed)
    model = FittedModel(
        covariance=Covariance.FULL_UNTIED,
        assignment=Assignment.LIKELIHOOD,
        columns=tuple(f"column {number}" for number in range(32)),
        offset=numbers.normal(size=32),
        scale=numbers.normal(size=32),
        weights=np.full(5, 0.2),
        centers=numbers.normal(size=(5, 32)),
        parameters=numbers.normal(size=(5, 32, 32)),
    )
    assert PACKED_BYTES < len(model.to_bytes()) < CHUNK_BYTES
    return model


def complete_with_chunks(store: MongoStore, keys: Sequence[TaskKey]) -> None:
    claim(store, keys, "done")
    outcomes = [done(key, model=middling_model(number)) for number, key in enumerate(keys)]
    assert store.finish_tasks("done", outcomes, NOW) == tuple(keys)


def packed(database: Documents) -> set[str]:
    """Ids of the tasks whose models are in packs."""
    return {id_ for pack in database["models"].find() for id_ in pack["models"]}


def test_small_models_share_a_document_and_go_one_by_one(store: MongoStore, database: Documents) -> None:
    job, keys = start_job(store, 3)
    complete(store, keys)
    assert database["models"].count_documents({}) == 1
    assert packed(database) == {key.id for key in keys}
    assert store.get_model(keys[0]).to_bytes() == make_model().to_bytes()
    store.retry_tasks(job.id, keys[:1], NOW)
    with pytest.raises(NotFound) as caught:
        store.get_model(keys[0])
    assert caught.value.reason == "MODEL_NOT_FOUND"
    assert packed(database) == {key.id for key in keys[1:]}
    store.retry_tasks(job.id, keys[1:], NOW)
    assert database["models"].count_documents({}) == 0


def test_a_pack_without_the_model_is_data_loss(store: MongoStore, database: Documents) -> None:
    _, keys = start_job(store, 2)
    complete(store, keys)
    database["models"].update_one({}, {"$unset": {f"models.{keys[0].id}": ""}})
    with pytest.raises(DataLoss) as caught:
        store.get_model(keys[0])
    assert caught.value.reason == "MODEL_DAMAGED"
    assert store.get_model(keys[1]).to_bytes() == make_model().to_bytes()


def test_a_missing_chunk_is_data_loss(store: MongoStore, database: Documents) -> None:
    _, keys = start_job(store, 1)
    claim(store, keys, "a")
    store.finish_tasks("a", [done(keys[0], model=big_model())], NOW)
    database["models"].delete_one({"task_id": keys[0].id, "number": 1})
    with pytest.raises(DataLoss) as caught:
        store.get_model(keys[0])
    assert caught.value.reason == "MODEL_DAMAGED"


def test_a_retry_and_a_delete_leave_no_chunks(store: MongoStore, database: Documents) -> None:
    job, keys = start_job(store, 3)
    complete_with_chunks(store, keys)
    store.close_job(job.id, NOW)
    store.retry_tasks(job.id, keys[:1], NOW)
    assert database["models"].count_documents({"task_id": keys[0].id}) == 0
    assert database["models"].count_documents({"job_id": job.id}) == 2
    store.cancel_job(job.id, NOW)
    store.delete_job(job.id)
    assert database["models"].count_documents({"job_id": job.id}) == 0


def test_a_lost_attempt_leaves_no_model(store: MongoStore, database: Documents) -> None:
    job, keys = start_job(store, 2)
    claim(store, keys, "a")
    store.release_tasks("a", NOW)
    claim(store, keys[:1], "b")
    assert store.finish_tasks("a", [done(key, model=middling_model(1)) for key in keys], NOW) == ()
    assert database["models"].count_documents({"job_id": job.id}) == 0
    with pytest.raises(NotFound):
        store.get_model(keys[0])


def test_what_a_dead_attempt_wrote_is_nobodys_model_and_goes_with_the_next(
    store: MongoStore, database: Documents
) -> None:
    _, keys = start_job(store, 1)
    claim(store, keys, "dead")
    # It wrote its model and died before it could say so.
    with store._database.calls() as collections:
        write_chunks(collections, {keys[0]: middling_model(1).to_bytes()})
    with pytest.raises(NotFound) as caught:
        store.get_model(keys[0])
    assert caught.value.reason == "MODEL_NOT_FOUND"
    store.expire_leases(LATER.replace(year=2027))
    claim(store, keys, "next")
    store.finish_tasks("next", [done(keys[0], model=middling_model(2))], NOW)
    assert store.get_model(keys[0]).to_bytes() == middling_model(2).to_bytes()
    assert database["models"].count_documents({"task_id": keys[0].id}) == 1
