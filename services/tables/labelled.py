"""A stored table with the label of each row, as CSV."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from services.tables.stored import StoredTable

__all__ = ["free_name", "write_labelled"]

_LABEL = "label"


def write_labelled(
    source: BinaryIO,
    labels: NDArray[np.signedinteger[Any]],
    chunk_bytes: int,
    *,
    turn: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Iterator[bytes]:
    """Yield a CSV file in UTF-8: the table's rows and columns, and a column `label`.

    Numbers keep their value and texts are as they were read; a missing cell is empty, and so is the label
    of a row that has none. Cells are quoted where CSV needs it and otherwise left alone: one that a
    spreadsheet would take for a formula is data. One row group is in memory while its chunks are taken, and
    of its text what about `chunk_bytes` of it make.

    Args:
        source: a stored table (Parquet); seekable.
        labels: (row_count,) integers, -1 for a row without a label.
        chunk_bytes: size of a chunk; only the last is smaller.
        turn: entered while a row group is read; what entering it raises passes through.

    Raises:
        DataLoss: the stored table is damaged.
    """
    table = StoredTable(source)
    names = table.names
    buffer = bytearray()
    start = 0
    for index, size in enumerate(table.group_sizes()):
        of_group = labels[start : start + size]
        with turn():
            columns = [*table.read_group(index, names), pa.array(of_group, mask=of_group < 0)]
        group = pa.table(columns, names=[*names, free_name(_LABEL, names)])
        del columns
        rows = max(1, size * chunk_bytes // max(1, group.nbytes))
        for first in range(0, size, rows):
            buffer += _text(group.slice(first, rows), header=start + first == 0)
            while len(buffer) >= chunk_bytes:
                yield bytes(buffer[:chunk_bytes])
                del buffer[:chunk_bytes]
        # Not kept while the next one is read.
        del group
        start += size
    if buffer:
        yield bytes(buffer)


def _text(rows: Any, *, header: bool) -> bytes:
    sink = io.BytesIO()
    csv.write_csv(rows, sink, csv.WriteOptions(include_header=header))
    return sink.getvalue()


def free_name(name: str, taken: Iterable[str]) -> str:
    """This name for a further column, or with the first of `_2`, `_3` and so on that is not taken."""
    names = set(taken)
    candidates = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
    return next(candidate for candidate in candidates if candidate not in names)
