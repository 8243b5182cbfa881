"""What chosen columns hold: the count that decides whether a job can run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from services.core.validation import Selection
from services.tables.stored import StoredTable

__all__ = ["Selection", "profile_selection"]


def profile_selection(source: BinaryIO, columns: Sequence[str]) -> Selection:
    """Count the rows that are complete in the chosen columns, and find columns that do not vary in them.

    Args:
        source: a stored table (Parquet); seekable.
        columns: names of numeric columns, at least one.

    Raises:
        InvalidInput: a column does not exist, is text or is named twice, or none is chosen.
        DataLoss: the stored table is damaged.
    """
    table = StoredTable(source)
    table.check_features(columns)
    minimum = np.full(len(columns), np.inf)
    maximum = np.full(len(columns), -np.inf)
    complete_count = 0
    for rows in table.read_matrices(columns):
        kept = rows[~np.isnan(rows).any(axis=1)]
        if kept.size:
            minimum = np.minimum(minimum, kept.min(axis=0))
            maximum = np.maximum(maximum, kept.max(axis=0))
            complete_count += len(kept)
    constant = tuple(
        name
        for name, low, high in zip(columns, minimum, maximum, strict=True)
        if complete_count and low == high
    )
    return Selection(table.row_count, complete_count, constant)
