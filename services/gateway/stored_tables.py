"""The parsed table of a dataset, as the object store holds it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from services.core.datasets import table_key
from services.core.errors import DataLoss, NotFound
from services.core.ports import ObjectStore
from services.gateway.names import dataset_name

__all__ = ["open_table"]


@contextmanager
def open_table(objects: ObjectStore, dataset_id: str) -> Iterator[BinaryIO]:
    """A seekable reader of the Parquet file.

    Raises:
        DataLoss: the dataset is known and its table is not there.
    """
    try:
        opened = objects.open(table_key(dataset_id))
    except NotFound as error:
        name = dataset_name(dataset_id)
        raise DataLoss(
            f"The stored table of '{name}' is missing. Upload the same file again with the request_id that "
            "made the dataset, which puts it back, or as a new dataset.",
            "TABLE_MISSING",
            {"dataset": name},
        ) from error
    with opened as source:
        yield source
