"""What a process that opens a home does about the one that died there."""

from __future__ import annotations

import itertools
from datetime import datetime

import structlog

from services.core.errors import NotFound
from services.core.ports import ObjectStore, Store

__all__ = ["recover"]

_log = structlog.get_logger()


def recover(store: Store, objects: ObjectStore, before: datetime) -> None:
    """Take back every claim and lease that ends, and remove every upload begun, before this time.

    Only right where nobody else uses the store: the holder of the home's lock passes the end of time.
    """
    for job_id in store.expire_leases(before):
        _log.info("taking up a job that was interrupted", job_id=job_id)
    store.remove_leases(before)
    keys = objects.list_keys("datasets/", older_than=before)
    for dataset_id, orphans in itertools.groupby(sorted(keys), key=lambda key: key.split("/")[1]):
        try:
            store.get_dataset(dataset_id)
        except NotFound:
            for key in orphans:
                objects.delete(key)
            _log.info("removed an upload that was interrupted", dataset_id=dataset_id)
