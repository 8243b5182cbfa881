"""Datasets: an uploaded table as the service knows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

__all__ = [
    "MAX_COLUMNS",
    "MAX_ROWS",
    "MAX_UPLOAD_BYTES",
    "Column",
    "ColumnKind",
    "ColumnRole",
    "ColumnStatistics",
    "Correlation",
    "Dataset",
    "TableFormat",
    "column_role",
    "default_columns",
    "original_key",
    "table_key",
]

MAX_COLUMNS = 256
MAX_ROWS = 100_000_000
MAX_UPLOAD_BYTES = 1 << 30


class TableFormat(StrEnum):
    """How the uploaded bytes are written; a gzip of a CSV or TSV keeps the inner format."""

    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"


class ColumnKind(StrEnum):
    """What a column's cells are."""

    NUMERIC = "numeric"
    TEXT = "text"


class ColumnRole(StrEnum):
    """What a column is for: a feature to cluster on, or a coordinate of a map."""

    FEATURE = "feature"
    LONGITUDE = "longitude"
    LATITUDE = "latitude"


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """Of the finite cells of a numeric column, in its own units; population standard deviation."""

    minimum: float
    maximum: float
    mean: float
    standard_deviation: float


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a dataset.

    Attributes:
        name: as in the header, outer spaces and quotes removed.
        missing_count: cells that are empty or say NA, NaN, null or the like (`services.tables.cells`).
        statistics: of a numeric column with at least one number, else None.
        text_row: of a text column, the 1-based data row of the first cell that is not a number.
        text_value: that cell, cut to 80 characters.
    """

    name: str
    kind: ColumnKind
    role: ColumnRole
    missing_count: int
    statistics: ColumnStatistics | None = None
    text_row: int | None = None
    text_value: str | None = None


@dataclass(frozen=True, slots=True)
class Correlation:
    """Pearson correlations of the numeric columns over rows complete in all of them.

    Attributes:
        columns: names, in table order (c of them).
        values: (c * c,) row by row; NaN where a column does not vary.
        row_count: rows used.
    """

    columns: tuple[str, ...]
    values: tuple[float, ...]
    row_count: int


NO_CORRELATION = Correlation((), (), 0)
"""In place of the one that a listing leaves out."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """An uploaded table: its bytes live in the object store under `original_key` and `table_key`.

    Attributes:
        id: made by the service; lower-case hexadecimal.
        owner: who uploaded it; "" where the service runs without tokens.
        display_name: the user's file name, for people only.
        size_bytes, sha256: of the original bytes as uploaded.
        row_count: data rows, the header not counted.
        request_id: the client's UUID that makes the upload idempotent, or "".
    """

    id: str
    owner: str
    display_name: str
    format: TableFormat
    size_bytes: int
    sha256: str
    row_count: int
    columns: tuple[Column, ...]
    correlation: Correlation
    created_at: datetime
    request_id: str = ""

    def column(self, name: str) -> Column | None:
        """The column of this name, or None."""
        return next((column for column in self.columns if column.name == name), None)


def original_key(dataset_id: str) -> str:
    """Object key of the bytes as uploaded."""
    return f"datasets/{dataset_id}/original"


def table_key(dataset_id: str) -> str:
    """Object key of the parsed table (Parquet)."""
    return f"datasets/{dataset_id}/table.parquet"


def column_role(name: str) -> ColumnRole:
    """Tell coordinates from features by their usual names, in any case."""
    folded = name.strip().casefold()
    if folded in {"longitude", "lon"}:
        return ColumnRole.LONGITUDE
    if folded in {"latitude", "lat"}:
        return ColumnRole.LATITUDE
    return ColumnRole.FEATURE


def default_columns(dataset: Dataset) -> tuple[str, ...]:
    """The columns a job clusters on when none are named: numeric features that vary.

    Coordinates are left out. A column of one value says nothing about clusters and, scaled, has no
    unit; it is left out too.
    """
    return tuple(
        column.name
        for column in dataset.columns
        if column.kind is ColumnKind.NUMERIC
        and column.role is ColumnRole.FEATURE
        and column.statistics is not None
        and column.statistics.minimum < column.statistics.maximum
    )
