"""What the job store takes of bundles with a single task: a claim and a result each, one after the other."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pymongo

from services.backends.mongodb import MongoStore
from tests.contract.samples import done, start_job

__all__ = ["single_tasks_per_second"]

_N = 200


def single_tasks_per_second(store_url: str) -> float:
    """Of one thread, in a database of its own, which is dropped afterwards."""
    name = f"single-{uuid.uuid4().hex[:8]}"
    store = MongoStore(urlsplit(store_url)._replace(path=f"/{name}").geturl())
    try:
        _, keys = start_job(store, _N)
        began = time.perf_counter()
        for key in keys:
            now = datetime.now(UTC)
            store.claim_tasks([key], key.short_id, now + timedelta(minutes=1), now)
            store.finish_tasks(key.short_id, [done(key)], now)
        return _N / (time.perf_counter() - began)
    finally:
        store.close()
        with pymongo.MongoClient[dict[str, object]](store_url) as client:
            client.drop_database(name)
