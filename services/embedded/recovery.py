"""What a process that opens a home does about the one that died there."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import structlog

from services.core.errors import DataLoss, NotFound
from services.core.ports import ObjectStore, Store

__all__ = ["recover_store", "remove_orphans"]

_log = structlog.get_logger()
_END_OF_TIME = datetime.max.replace(tzinfo=UTC)


def recover_store(store: Store) -> None:
    """Take back every claim and lease. Only right where nobody else uses the store."""
    for job_id in store.expire_leases(_END_OF_TIME):
        _log.info("taking up a job that was interrupted", job_id=job_id)
    store.remove_leases(_END_OF_TIME)


def remove_orphans(store: Store, objects: ObjectStore) -> None:
    """Remove uploads that were begun and never ended. Only right where nobody else uses either store."""
    keys = objects.list_keys("datasets/", older_than=_END_OF_TIME)
    for dataset_id, orphans in itertools.groupby(sorted(keys), key=lambda key: key.split("/")[1]):
        try:
            store.get_dataset(dataset_id)
        except NotFound:
            for key in orphans:
                objects.delete(key)
            _log.info("removed an upload that was interrupted", dataset_id=dataset_id)
        except DataLoss as error:
            # Its record is damaged, which is no reason to lose its bytes, too.
            _log.error("damaged dataset", dataset_id=dataset_id, reason=error.reason)
