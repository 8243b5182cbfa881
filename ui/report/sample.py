"""Rows of a dataset for plots, and their labels under a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from kmeans.v1 import dataset_pb2
from numpy.typing import NDArray

from kmeans_client import Client
from ui.report.panels import Axis

__all__ = [
    "MAX_GRID_ROWS",
    "MAX_ROWS",
    "SEED",
    "Sample",
    "drawn_sentence",
    "map_columns",
    "numeric_columns",
    "sample_labels",
    "sample_rows",
]

MAX_ROWS = 20_000
# Of each of six small plots side by side: a browser draws a point of each six times.
MAX_GRID_ROWS = 5_000
SEED = 0
# One answer holds 250,000 cells at most: of so few columns it holds MAX_ROWS rows.
_COLUMNS_A_CALL = 12


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """r rows of a dataset.

    Attributes:
        rows: (r,) which data rows, from 0, ascending.
        columns: (r,) float64 by name, NaN where missing.
        row_count: rows the dataset has.
    """

    rows: NDArray[np.int64]
    columns: dict[str, NDArray[np.float64]]
    row_count: int

    @property
    def is_all(self) -> bool:
        """Whether no row is left out."""
        return len(self.rows) == self.row_count

    def few(self, max_rows: int) -> NDArray[np.int64]:
        """Places of at most so many of the rows, evenly spread over them: of a random sample again one."""
        if len(self.rows) <= max_rows:
            return np.arange(len(self.rows))
        return np.linspace(0, len(self.rows) - 1, max_rows).astype(np.int64)

    def taken(self, places: NDArray[np.int64]) -> Sample:
        """The rows at these places alone."""
        columns = {name: values[places] for name, values in self.columns.items()}
        return Sample(self.rows[places], columns, self.row_count)

    def axis(self, name: str) -> Axis:
        """One of the columns."""
        return Axis(name, self.columns[name])


def drawn_sentence(sample: Sample, *names: str) -> str:
    """How many rows a plot shows: all, those that have a value in each of these columns, or a sample."""
    known = np.ones(len(sample.rows), dtype=bool)
    for name in names:
        known &= np.isfinite(sample.columns[name])
    missing = len(known) - int(known.sum())
    if sample.is_all:
        if not missing:
            return f"All {sample.row_count:,} rows are drawn."
        return (
            f"{len(known) - missing:,} of {sample.row_count:,} rows are drawn: the others have no value on "
            "one of the axes."
        )
    without = f", {missing:,} of them without a value on one of the axes" if missing else ""
    return (
        f"A random sample of {len(known):,} of {sample.row_count:,} rows is drawn"
        f"{without}; sizes, centers and scores are of all rows."
    )


def numeric_columns(dataset: dataset_pb2.Dataset) -> list[str]:
    """Names of the columns that hold numbers, in the order of the file."""
    return [
        column.name
        for column in dataset.columns
        if column.kind == dataset_pb2.COLUMN_KIND_NUMERIC and column.HasField("statistics")
    ]


def map_columns(dataset: dataset_pb2.Dataset) -> tuple[str, str] | None:
    """Names of the columns of longitude and latitude, when both are there and hold numbers."""
    numeric = set(numeric_columns(dataset))
    found = {column.role: column.name for column in reversed(dataset.columns) if column.name in numeric}
    longitude = found.get(dataset_pb2.COLUMN_ROLE_LONGITUDE)
    latitude = found.get(dataset_pb2.COLUMN_ROLE_LATITUDE)
    return (longitude, latitude) if longitude and latitude else None


def sample_rows(
    client: Client, dataset: str, columns: Sequence[str], *, max_rows: int = MAX_ROWS, seed: int = SEED
) -> Sample:
    """Numeric columns of all rows, or of at most `max_rows` drawn uniformly without replacement."""
    found: dict[str, NDArray[np.float64]] = {}
    rows: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    row_count = 0
    for start in range(0, len(columns), _COLUMNS_A_CALL):
        # The same seed draws the same rows for every group of columns.
        answer = client.sample_dataset(
            dataset, columns=columns[start : start + _COLUMNS_A_CALL], max_rows=max_rows, seed=seed
        )
        rows, row_count = np.array(answer.rows, dtype=np.int64), answer.row_count
        found |= {column.name: np.array(column.numbers, dtype=np.float64) for column in answer.columns}
    return Sample(rows, found, row_count)


def sample_labels(client: Client, task: str, sample: Sample) -> NDArray[np.int64]:
    """Labels (r,) of the sampled rows under a task, -1 where a column of the job is missing."""
    chosen = () if sample.is_all else sample.rows.tolist()
    labels = [label for run in client.stream_labels(task, rows=chosen) for label in run.labels]
    return np.array(labels, dtype=np.int64)
