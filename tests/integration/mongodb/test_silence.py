"""The server stays connected and answers no more: no call waits for it without end."""

from __future__ import annotations

import pytest

from services.backends.mongodb import MongoStore
from services.core.datasets import Dataset
from services.core.deadline import set_deadline
from services.core.errors import StoreUnavailable
from services.core.pages import PageRequest
from tests.chaos.proxy import Proxy
from tests.contract.samples import LONG, NOW, claim, make_dataset, start_job


def test_calls_on_a_silent_server_end(proxy: Proxy) -> None:
    store = MongoStore(
        f"mongodb://127.0.0.1:{proxy.port}/silence?directConnection=true&w=majority&journal=true"
        "&socketTimeoutMS=500&connectTimeoutMS=500&serverSelectionTimeoutMS=500"
    )
    made: Dataset = store.insert_dataset(make_dataset())
    proxy.stall()
    for call in (
        store.ping,
        lambda: store.get_dataset(made.id),
        lambda: store.list_datasets(None, PageRequest()),
        lambda: store.all_tasks("j1"),
    ):
        with pytest.raises(StoreUnavailable, match="does not answer"):
            call()
    proxy.mend()
    assert store.get_dataset(made.id) == made
    store.close()


def test_calls_end_with_the_deadline_of_who_asked(proxy: Proxy) -> None:
    """Not with the driver's limit, which here is longer than the test may take."""
    store = MongoStore(
        f"mongodb://127.0.0.1:{proxy.port}/silence?directConnection=true&w=majority&journal=true"
        "&socketTimeoutMS=600000&connectTimeoutMS=600000&serverSelectionTimeoutMS=600000"
    )
    job, keys = start_job(store, 2)
    proxy.stall()
    try:
        for call in (
            lambda: store.get_job(job.id),
            lambda: store.count_tasks(job.id),
            lambda: claim(store, keys, "a"),
            lambda: store.cancel_job(job.id, NOW),
            lambda: store.wait_for_change(job.id, job.revision, LONG),
        ):
            set_deadline(0.5)
            with pytest.raises(StoreUnavailable):
                call()
    finally:
        set_deadline(None)
        proxy.mend()
    assert claim(store, keys, "b") in (keys, ())
    store.close()
