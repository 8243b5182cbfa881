"""Dataset records in MongoDB."""

from __future__ import annotations

from pymongo.errors import DuplicateKeyError

from services.backends.documents import Document
from services.backends.missing import dataset_not_found
from services.backends.mongodb.database import Collections, Database, Transaction
from services.backends.mongodb.positions import NEWEST_FIRST, behind_newest, newest_page
from services.backends.mongodb.records import dataset_record, read_dataset_record, read_listed_dataset_record
from services.backends.mongodb.usage import hold_owner, note_owner
from services.backends.request_ids import same_dataset
from services.core.datasets import Dataset
from services.core.errors import Conflict, FailedPrecondition
from services.core.pages import Page, PageRequest
from services.core.quotas import NO_LIMITS, OwnerLimits, check_quota

__all__ = ["MongoDatasets"]


class MongoDatasets:
    """`services.core.ports.DatasetStore`."""

    def __init__(self, database: Database) -> None:
        """Keep datasets in this database."""
        self._database = database

    def insert_dataset(self, dataset: Dataset, limits: OwnerLimits = NO_LIMITS) -> Dataset:
        """See the port. Conflict also for an id that another dataset has."""
        with self._database.calls() as collections:
            made = _by_request(collections, dataset.owner, dataset.request_id)
            if made is not None:
                return same_dataset(made, dataset)
            if limits != NO_LIMITS:
                note_owner(collections, dataset.owner)

        def insert(transaction: Transaction) -> None:
            usage = hold_owner(transaction, dataset.owner)
            check_quota(limits, usage, dataset.owner, stored_bytes=dataset.size_bytes)
            transaction.collections.datasets.insert_one(dataset_record(dataset), session=transaction.session)

        try:
            if limits != NO_LIMITS:
                self._database.change(f"owner/{dataset.owner}", insert, expected=DuplicateKeyError)
            else:
                with self._database.calls(expected=DuplicateKeyError) as collections:
                    collections.datasets.insert_one(dataset_record(dataset))
        except DuplicateKeyError as error:
            # Another thread made it meanwhile, or the answer to this very insert was lost.
            with self._database.calls() as collections:
                made = _by_request(collections, dataset.owner, dataset.request_id)
                if made is not None:
                    return same_dataset(made, dataset)
                record = collections.datasets.find_one({"_id": dataset.id})
            if record is None or read_dataset_record(record) != dataset:
                raise Conflict(
                    f"There is a dataset {dataset.id} already.",
                    "DATASET_EXISTS",
                    {"dataset": f"datasets/{dataset.id}"},
                ) from error
        return dataset

    def get_dataset(self, dataset_id: str) -> Dataset:
        """See the port."""
        with self._database.calls() as collections:
            record = collections.datasets.find_one({"_id": dataset_id})
        if record is None:
            raise dataset_not_found(dataset_id)
        return read_dataset_record(record)

    def dataset_of_request(self, owner: str, request_id: str) -> Dataset | None:
        """See the port."""
        with self._database.calls() as collections:
            return _by_request(collections, owner, request_id)

    def list_datasets(self, owner: str | None, page: PageRequest) -> Page[Dataset]:
        """See the port."""
        wanted: Document = behind_newest(page)
        if owner is not None:
            wanted["owner"] = owner
        with self._database.calls() as collections:
            records = list(
                collections.datasets.find(
                    wanted, {"correlation": False}, sort=NEWEST_FIRST, limit=page.size + 1
                )
            )
        return newest_page(records, page, read_listed_dataset_record)

    def delete_dataset(self, dataset_id: str) -> None:
        """See the port."""

        def delete(transaction: Transaction) -> None:
            collections, session = transaction.collections, transaction.session
            user = collections.jobs.find_one(
                {"spec.dataset_id": dataset_id}, {"_id": True}, sort=[("created_at", 1)], session=session
            )
            if user is not None:
                raise FailedPrecondition(
                    f"Dataset {dataset_id} is used by job {user['_id']}. Delete its jobs first.",
                    "DATASET_IN_USE",
                    {"dataset": f"datasets/{dataset_id}", "job": f"jobs/{user['_id']}"},
                )
            # A new job writes to this record too (jobs_made), so that one of the two begins anew.
            if not collections.datasets.delete_one({"_id": dataset_id}, session=session).deleted_count:
                raise dataset_not_found(dataset_id)

        self._database.change(dataset_id, delete)


def _by_request(collections: Collections, owner: str, request_id: str) -> Dataset | None:
    if not request_id:
        return None
    record = collections.datasets.find_one({"owner": owner, "request_id": request_id})
    return None if record is None else read_dataset_record(record)
