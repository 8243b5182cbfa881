"""The parsed table as it is stored: Parquet with float64 and text columns in bounded row groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from services.core.errors import DataLoss, InvalidInput
from services.core.validation import repeated_columns, unknown_columns

__all__ = ["StoredTable"]


class StoredTable:
    """A stored table, read one row group at a time."""

    def __init__(self, source: BinaryIO) -> None:
        """Read the schema of a table that `parse_table` wrote; `source` is seekable and not closed.

        Raises:
            DataLoss: it is not such a table.
        """
        source.seek(0)
        with _told_as_loss():
            self._file = parquet.ParquetFile(source, pre_buffer=False)
            self._schema = self._file.schema_arrow

    @property
    def row_count(self) -> int:
        """Data rows."""
        return int(self._file.metadata.num_rows)

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in the order of the file."""
        return tuple(self._schema.names)

    def group_sizes(self) -> list[int]:
        """How many rows each row group has."""
        metadata = self._file.metadata
        return [int(metadata.row_group(index).num_rows) for index in range(metadata.num_row_groups)]

    def is_numeric(self, name: str) -> bool:
        """Whether the column is written as numbers."""
        return bool(pa.types.is_floating(self._schema.field(name).type))

    def read_group(self, index: int, columns: Sequence[str]) -> list[Any]:
        """Return the named columns of one row group as Arrow arrays, in the order named.

        Raises:
            DataLoss: the bytes are damaged.
        """
        with _told_as_loss():
            table = self._file.read_row_group(index, columns=list(columns), use_threads=False)
            return [table.column(name).combine_chunks() for name in columns]

    def read_matrices(self, columns: Sequence[str]) -> Iterator[NDArray[np.float64]]:
        """Yield the numeric columns of each row group as (m, d) float64, NaN where missing."""
        for index in range(self._file.metadata.num_row_groups):
            yield self.read_matrix(index, columns)

    def read_matrix(self, index: int, columns: Sequence[str]) -> NDArray[np.float64]:
        """The numeric columns of one row group as (m, d) float64, NaN where missing."""
        arrays = self.read_group(index, columns)
        return np.column_stack([array.to_numpy(zero_copy_only=False) for array in arrays])

    def check_columns(self, columns: Sequence[str]) -> None:
        """Check that they exist and that none is named twice.

        Raises:
            InvalidInput: UNKNOWN_COLUMN or REPEATED_COLUMN, naming the first.
        """
        for sentence in unknown_columns(columns, self.names):
            raise InvalidInput(sentence, "UNKNOWN_COLUMN")
        for sentence in repeated_columns(columns):
            raise InvalidInput(sentence, "REPEATED_COLUMN")

    def check_features(self, columns: Sequence[str]) -> None:
        """Check that they exist, are numeric, and that there is at least one.

        Raises:
            InvalidInput: NO_COLUMNS, TEXT_COLUMN or what `check_columns` finds.
        """
        if not columns:
            raise InvalidInput("No column is chosen; choose at least one.", "NO_COLUMNS")
        self.check_columns(columns)
        for name in columns:
            if not self.is_numeric(name):
                raise InvalidInput(
                    f"Column '{name}' is not numeric. Leave it out or correct it.", "TEXT_COLUMN"
                )


@contextmanager
def _told_as_loss() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError, KeyError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk, not the bytes
        raise DataLoss("The stored table is damaged. Upload the file again.", "TABLE_DAMAGED") from error
