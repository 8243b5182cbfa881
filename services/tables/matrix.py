"""The matrix that is clustered: complete rows of chosen columns, scaled or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from services.core.errors import InvalidInput
from services.tables.stored import StoredTable

__all__ = ["Matrix", "load_matrix"]

# Sums run over blocks of this many rows, so that they do not depend on how the table is cut in groups.
_BLOCK_ROWS = 1 << 14


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """Rows of a table that are complete in d chosen columns.

    Attributes:
        values: (n, d) float64, C-contiguous: (x - offset) / spread.
        rows: (n,) int64, which data rows they are, from 0, ascending.
        row_count: rows of the table, incomplete ones too.
        offset: (d,) float64, in the columns' units: means of the complete rows; zeros unscaled.
        spread: (d,) float64, in the columns' units: their population standard deviations; ones unscaled.
    """

    values: NDArray[np.float64]
    rows: NDArray[np.int64]
    row_count: int
    offset: NDArray[np.float64]
    spread: NDArray[np.float64]


def load_matrix(source: BinaryIO, columns: Sequence[str], *, scale: bool) -> Matrix:
    """Read the complete rows of chosen columns.

    Scaling takes two passes over them in blocks of fixed size, so that the same rows give the same bits
    however the table is laid out.

    Args:
        source: a stored table (Parquet); seekable.
        columns: names of d numeric columns, at least one; the matrix has them in this order.
        scale: to zero mean and unit population variance over the complete rows.

    Raises:
        InvalidInput: a column does not exist, is text or is named twice, or none is chosen; no row is
            complete (NO_COMPLETE_ROWS); a column does not vary while scaling (CONSTANT_COLUMN).
        DataLoss: the stored table is damaged.
    """
    table = StoredTable(source)
    table.check_features(columns)
    values = np.empty((table.row_count, len(columns)))
    indices = np.empty(table.row_count, dtype=np.int64)
    n = start = 0
    for rows in table.read_matrices(columns):
        complete = np.flatnonzero(~np.isnan(rows).any(axis=1))
        values[n : n + len(complete)] = rows[complete]
        indices[n : n + len(complete)] = complete + start
        n += len(complete)
        start += len(rows)
    if not n:
        raise InvalidInput(
            f"None of the {table.row_count} rows is complete in the chosen columns. Choose other columns.",
            "NO_COMPLETE_ROWS",
        )
    values, indices = values[:n], indices[:n]
    offset, spread = np.zeros(len(columns)), np.ones(len(columns))
    if scale:
        offset, spread = _moments(values, columns)
        for block in _blocks(values):
            block -= offset
            block /= spread
    return Matrix(values, indices, table.row_count, offset, spread)


def _blocks(values: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    return (values[start : start + _BLOCK_ROWS] for start in range(0, len(values), _BLOCK_ROWS))


def _moments(
    values: NDArray[np.float64], columns: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means and population standard deviations (d,) of values (n, d), every column of which varies."""
    low, high = values.min(axis=0), values.max(axis=0)
    for name, constant in zip(columns, low == high, strict=True):
        if constant:
            raise InvalidInput(
                f"Column '{name}' never varies, so it cannot be scaled. Leave it out, or turn scaling off.",
                "CONSTANT_COLUMN",
                {"column": name},
            )
    # Centred on the middle and divided by the range, neither sums nor squares over- or underflow.
    middle, width = low / 2 + high / 2, high - low
    n = len(values)
    mean = (
        sum((((block - middle) / width).sum(axis=0) for block in _blocks(values)), np.zeros(len(columns))) / n
    )
    squares = np.zeros(len(columns))
    for block in _blocks(values):
        deviations = (block - middle) / width - mean
        squares += (deviations * deviations).sum(axis=0)
    return middle + mean * width, np.sqrt(squares / n) * width
