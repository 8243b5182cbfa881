"""Complete rows of chosen columns, one row group at a time and in original units."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from services.tables.stored import StoredTable

__all__ = ["CompleteRows", "read_complete_rows"]


@dataclass(frozen=True, slots=True, eq=False)
class CompleteRows:
    """Some rows of a table that are complete in d chosen columns.

    Attributes:
        values: (m, d) float64, in the columns' units.
        rows: (m,) int64, which data rows they are, from 0, ascending.
    """

    values: NDArray[np.float64]
    rows: NDArray[np.int64]


def read_complete_rows(
    source: BinaryIO,
    columns: Sequence[str],
    chosen: NDArray[np.int64] | None = None,
    *,
    turn: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Iterator[CompleteRows]:
    """The complete rows in their order, in the memory of one row group; the same rows as `load_matrix`.

    Args:
        source: a stored table (Parquet); seekable.
        columns: names of d numeric columns, at least one.
        chosen: (m,) only these data rows, ascending; every row when None. Row groups with none of them are
            not read.
        turn: entered while a row group is decoded; what entering it raises passes through.

    Raises:
        InvalidInput: a column does not exist, is text or is named twice, or none is chosen.
        DataLoss: the stored table is damaged.
    """
    table = StoredTable(source)
    table.check_features(columns)
    start = 0
    for index, size in enumerate(table.group_sizes()):
        if chosen is None:
            picked = np.arange(size)
        else:
            low, high = np.searchsorted(chosen, (start, start + size))
            picked = chosen[low:high] - start
        if len(picked):
            with turn():
                part = _complete(table, index, columns, picked)
            yield CompleteRows(part.values, part.rows + start)
            del part
        start += size


def _complete(
    table: StoredTable, index: int, columns: Sequence[str], picked: NDArray[np.int64]
) -> CompleteRows:
    """The complete ones of these rows of one row group, counted from its first; a copy."""
    values = table.read_matrix(index, columns)
    if len(picked) < len(values):
        values = values[picked]
    complete = ~np.isnan(values).any(axis=1)
    return CompleteRows(values[complete], picked[complete])
