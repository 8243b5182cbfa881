"""Rows for plots: all of a table, or a uniform sample of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from services.core.errors import InvalidInput
from services.tables import limits
from services.tables.stored import StoredTable

__all__ = ["Sample", "SampleTooLarge", "SampledColumn", "sample_table"]


class SampleTooLarge(Exception):
    """The texts of so many rows are longer than the caller has room for."""


@dataclass(frozen=True, slots=True, eq=False)
class SampledColumn:
    """r cells of one column.

    Attributes:
        name: of the column.
        cells: of a numeric column (r,) float64, NaN where missing; of a text column r strings of at most
            80 characters, empty where missing.
    """

    name: str
    cells: NDArray[np.float64] | list[str]


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """r rows of a table.

    Attributes:
        rows: (r,) int64, which data rows, from 0, ascending.
        columns: in the order asked for.
        row_count: rows of the table.
    """

    rows: NDArray[np.int64]
    columns: tuple[SampledColumn, ...]
    row_count: int


def sample_table(
    source: BinaryIO,
    columns: Sequence[str] | None,
    max_rows: int,
    seed: int,
    *,
    max_text_bytes: int | None = None,
    turn: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Sample:
    """Return all rows, or `max_rows` of them drawn uniformly without replacement.

    Only the asked columns of the row groups that hold drawn rows are read, and of each group only what is
    returned is kept: a cell of text may be a thousand times as long as what is shown of it.

    Args:
        source: a stored table (Parquet); seekable.
        columns: names, or None or empty for all.
        max_rows: at least 1.
        seed: from 0; the same seed draws the same rows of the same table.
        max_text_bytes: bytes (UTF-8) of the texts returned, at most; None for any number.
        turn: entered while a row group is in memory; what entering it raises passes through.

    Raises:
        InvalidInput: a column does not exist or is named twice; max_rows or seed is out of bounds.
        SampleTooLarge: the texts have more than `max_text_bytes`.
        DataLoss: the stored table is damaged.
    """
    if max_rows < 1:
        raise InvalidInput(f"max_rows is {max_rows}; it must be at least 1.")
    if seed < 0:
        raise InvalidInput(f"seed is {seed}; it must be at least 0.")
    table = StoredTable(source)
    names = tuple(columns or table.names)
    table.check_columns(names)
    rows = _draw(table.row_count, max_rows, seed)
    parts: dict[str, list[Any]] = {name: [] for name in names}
    start = text_bytes = 0
    for index, size in enumerate(table.group_sizes()):
        first, last = np.searchsorted(rows, [start, start + size])
        if first < last:
            with turn():
                cells = _cells(table, index, names, rows[first:last] - start)
            for name, array in zip(names, cells, strict=True):
                parts[name].append(array)
            text_bytes += sum(_text_bytes(array) for array in cells)
            if max_text_bytes is not None and text_bytes > max_text_bytes:
                raise SampleTooLarge
        start += size
    found = tuple(_column(name, parts[name], numeric=table.is_numeric(name)) for name in names)
    return Sample(rows, found, table.row_count)


def _cells(table: StoredTable, index: int, names: Sequence[str], drawn: NDArray[np.int64]) -> list[Any]:
    """The drawn rows of one row group, column by column, texts cut: a copy, so that the group can go."""
    taken = (array.take(pa.array(drawn)) for array in table.read_group(index, names))
    return [
        pc.utf8_slice_codeunits(array, 0, limits.MAX_TEXT_VALUE_CHARACTERS)
        if pa.types.is_string(array.type)
        else array
        for array in taken
    ]


def _text_bytes(cells: Any) -> int:
    if not pa.types.is_string(cells.type):
        return 0
    return pc.sum(pc.binary_length(cells)).as_py() or 0


def _draw(row_count: int, max_rows: int, seed: int) -> NDArray[np.int64]:
    if row_count <= max_rows:
        return np.arange(row_count, dtype=np.int64)
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = generator.choice(row_count, size=max_rows, replace=False, shuffle=False)
    return np.sort(drawn.astype(np.int64))


def _column(name: str, parts: Sequence[Any], *, numeric: bool) -> SampledColumn:
    if numeric:
        numbers = [part.to_numpy(zero_copy_only=False) for part in parts]
        return SampledColumn(name, np.concatenate(numbers) if numbers else np.empty(0))
    return SampledColumn(name, [text or "" for part in parts for text in part.to_pylist()])
