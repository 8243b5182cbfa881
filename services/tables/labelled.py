"""A stored table with the label of each row, as CSV."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from services.tables.stored import StoredTable

__all__ = ["free_name", "write_labelled"]

_LABEL = "label"


def write_labelled(
    source: BinaryIO, labels: NDArray[np.signedinteger[Any]], chunk_bytes: int
) -> Iterator[bytes]:
    """Yield a CSV file in UTF-8: the table's rows and columns, and a column `label`.

    Numbers keep their value and texts are as they were read; a missing cell is empty, and so is the label
    of a row that has none. Cells are quoted where CSV needs it and otherwise left alone: one that a
    spreadsheet would take for a formula is data. At most one row group is in memory.

    Args:
        source: a stored table (Parquet); seekable.
        labels: (row_count,) integers, -1 for a row without a label.
        chunk_bytes: size of a chunk; only the last is smaller.

    Raises:
        DataLoss: the stored table is damaged.
    """
    table = StoredTable(source)
    names = table.names
    buffer = bytearray()
    start = 0
    header = True
    for index, size in enumerate(table.group_sizes()):
        of_group = labels[start : start + size]
        start += size
        columns = [*table.read_group(index, names), pa.array(of_group, mask=of_group < 0)]
        sink = io.BytesIO()
        csv.write_csv(
            pa.table(columns, names=[*names, free_name(_LABEL, names)]),
            sink,
            csv.WriteOptions(include_header=header),
        )
        header = False
        buffer += sink.getbuffer()
        while len(buffer) >= chunk_bytes:
            yield bytes(buffer[:chunk_bytes])
            del buffer[:chunk_bytes]
    if buffer:
        yield bytes(buffer)


def free_name(name: str, taken: Iterable[str]) -> str:
    """This name for a further column, or with the first of `_2`, `_3` and so on that is not taken."""
    names = set(taken)
    candidates = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
    return next(candidate for candidate in candidates if candidate not in names)
