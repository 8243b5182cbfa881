"""What chosen columns hold: the count that decides whether a job can run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from services.core.validation import Selection
from services.tables.stored import StoredTable

__all__ = ["Selection", "profile_selection"]


def profile_selection(
    source: BinaryIO,
    columns: Sequence[str],
    *,
    turn: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Selection:
    """Count the rows that are complete in the chosen columns, and find columns that do not vary in them.

    Args:
        source: a stored table (Parquet); seekable.
        columns: names of numeric columns, at least one.
        turn: entered while a row group is in memory; what entering it raises passes through.

    Raises:
        InvalidInput: a column does not exist, is text or is named twice, or none is chosen.
        DataLoss: the stored table is damaged.
    """
    table = StoredTable(source)
    table.check_features(columns)
    minimum = np.full(len(columns), np.inf)
    maximum = np.full(len(columns), -np.inf)
    complete_count = 0
    for index in range(len(table.group_sizes())):
        with turn():
            count, low, high = _extremes(table.read_matrix(index, columns))
        complete_count += count
        minimum, maximum = np.minimum(minimum, low), np.maximum(maximum, high)
    constant = tuple(
        name
        for name, low, high in zip(columns, minimum, maximum, strict=True)
        if complete_count and low == high
    )
    return Selection(table.row_count, complete_count, constant)


def _extremes(
    rows: NDArray[np.float64],
) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """How many rows (m, d) are complete, and their minimum and maximum (d,); infinite where none is."""
    kept = rows[~np.isnan(rows).any(axis=1)]
    return len(kept), kept.min(axis=0, initial=np.inf), kept.max(axis=0, initial=-np.inf)
