"""Dataset records in SQLite."""

from __future__ import annotations

from dataclasses import replace
from operator import itemgetter

from services.backends.missing import dataset_not_found
from services.backends.request_ids import same_dataset
from services.backends.sort_keys import read_sort_key
from services.backends.sound import read_sound
from services.backends.sqlite.database import Database, Transaction
from services.backends.sqlite.records import (
    DATASET_COLUMNS,
    dataset_row,
    read_dataset_row,
)
from services.backends.sqlite.usage import usage_of
from services.core.datasets import NO_CORRELATION, Dataset
from services.core.errors import FailedPrecondition
from services.core.pages import Page, PageRequest
from services.core.quotas import NO_LIMITS, OwnerLimits, check_quota

__all__ = ["SqliteDatasets"]

_BY_ID = f"SELECT {DATASET_COLUMNS} FROM datasets WHERE id = ?"


class SqliteDatasets:
    """`services.core.ports.DatasetStore`."""

    def __init__(self, database: Database) -> None:
        """Keep datasets in this database."""
        self._database = database

    def insert_dataset(self, dataset: Dataset, limits: OwnerLimits = NO_LIMITS) -> Dataset:
        """See the port."""
        with self._database.write() as transaction:
            if dataset.request_id:
                made = _by_request(transaction, dataset.owner, dataset.request_id)
                if made is not None:
                    return same_dataset(made, dataset)
            if limits != NO_LIMITS:
                usage = usage_of(transaction, dataset.owner)
                check_quota(limits, usage, dataset.owner, stored_bytes=dataset.size_bytes)
            transaction.execute(
                f"INSERT INTO datasets ({DATASET_COLUMNS}) VALUES (?, ?, ?, ?, ?)",
                dataset_row(dataset),
            )
        return dataset

    def get_dataset(self, dataset_id: str) -> Dataset:
        """See the port."""
        with self._database.read() as transaction:
            row = transaction.one(_BY_ID, (dataset_id,))
        if row is None:
            raise dataset_not_found(dataset_id)
        return read_dataset_row(row)

    def dataset_of_request(self, owner: str, request_id: str) -> Dataset | None:
        """See the port."""
        with self._database.read() as transaction:
            return _by_request(transaction, owner, request_id)

    def list_datasets(self, owner: str | None, page: PageRequest) -> Page[Dataset]:
        """See the port."""
        conditions, parameters = ["TRUE"], list[str | int | float]()
        if owner is not None:
            conditions.append("owner = ?")
            parameters.append(owner)
        after = read_sort_key(page, int, str)
        if after is not None:
            conditions.append("(created_at, id) < (?, ?)")
            parameters.extend(after)
        with self._database.read() as transaction:
            places = transaction.all(
                f"SELECT id, created_at FROM datasets WHERE {' AND '.join(conditions)} "
                "ORDER BY created_at DESC, id DESC LIMIT ?",
                (*parameters, page.size + 1),
            )
            shown = places[: page.size]
            # One after the other: a record is large, and of most of it nothing is kept.
            items = read_sound(shown, lambda place: _listed(transaction, place[0]), itemgetter(0))
        if len(places) <= page.size:
            return Page(items)
        # From the place, not the last item: the record may be damaged, the page empty.
        id_, created_at = shown[-1]
        return Page(items, page.token_after((created_at, id_)))

    def delete_dataset(self, dataset_id: str) -> None:
        """See the port."""
        with self._database.write() as transaction:
            user = transaction.one(
                "SELECT id FROM jobs WHERE dataset_id = ? ORDER BY created_at LIMIT 1", (dataset_id,)
            )
            if user is not None:
                raise FailedPrecondition(
                    f"Dataset {dataset_id} is used by job {user[0]}. Delete its jobs first.",
                    "DATASET_IN_USE",
                    {"dataset": f"datasets/{dataset_id}", "job": f"jobs/{user[0]}"},
                )
            if not transaction.execute("DELETE FROM datasets WHERE id = ?", (dataset_id,)).rowcount:
                raise dataset_not_found(dataset_id)


def _by_request(transaction: Transaction, owner: str, request_id: str) -> Dataset | None:
    row = transaction.one(
        f"SELECT {DATASET_COLUMNS} FROM datasets WHERE owner = ? AND request_id = ?", (owner, request_id)
    )
    return None if row is None else read_dataset_row(row)


def _listed(transaction: Transaction, dataset_id: str) -> Dataset:
    row = transaction.one(_BY_ID, (dataset_id,))
    if row is None:  # not within one transaction
        raise dataset_not_found(dataset_id)
    return replace(read_dataset_row(row), correlation=NO_CORRELATION)
