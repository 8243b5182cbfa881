"""From uploaded bytes to a parsed table: one pass over the rows, two when the first rows mislead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from services.core.datasets import MAX_ROWS, Column, ColumnKind, Correlation, TableFormat, column_role
from services.tables import limits
from services.tables.cells import read_numbers, read_texts
from services.tables.columnar import open_parquet
from services.tables.delimited import open_delimited
from services.tables.refusals import Reason, refusal
from services.tables.rows import Rows
from services.tables.signatures import GZIP, PARQUET
from services.tables.statistics import ColumnMoments, JointMoments

__all__ = ["ParsedTable", "parse_table"]


@dataclass(frozen=True, slots=True)
class ParsedTable:
    """What an upload holds; its cells are in the Parquet file that was written.

    Attributes:
        format: how the upload is written.
        columns: in the order of the file.
        row_count: data rows, the header not counted.
        correlation: of the numeric columns that hold any number, over rows complete in all of them.
    """

    format: TableFormat
    columns: tuple[Column, ...]
    row_count: int
    correlation: Correlation


def parse_table(
    source: BinaryIO,
    display_name: str,
    table_format: TableFormat | None,
    destination: Path,
    *,
    max_rows: int = MAX_ROWS,
    check_still_wanted: Callable[[], None] = lambda: None,
) -> ParsedTable:
    """Parse an upload and write it as Parquet, in memory that does not grow with its size.

    A column is numeric when every cell that is not missing is a number (see `cells`), in the whole file;
    it is written as float64, null where missing. Any other column is written as text.

    Args:
        source: the uploaded bytes; seekable, read from the beginning, not closed.
        display_name: the file's name, for sentences.
        table_format: what the uploader says it is; None to tell from the bytes. The bytes decide between
            CSV with commas, semicolons and tabs in any case; a stated TSV has tabs.
        destination: where to write the Parquet file; nothing stays there after an error.
        max_rows: a table of more is refused, as soon as they are read.
        check_still_wanted: called for each piece that is read; ends the parse by raising.

    Raises:
        InvalidTable: the file is refused; `reason` is one of `refusals.Reason`, the message says what is
            wrong, where, and what to do.
    """
    rows = _open_rows(source, display_name, table_format, check_still_wanted)
    guess = _first_guess(rows, display_name)
    try:
        found = _parse(rows, guess, display_name, destination, max_rows, check_still_wanted)
        if found.layout != guess:
            found = _parse(rows, found.layout, display_name, destination, max_rows, check_still_wanted)
    except BaseException:
        destination.unlink(missing_ok=True)
        raise
    finally:
        # Arrow keeps what it freed for the thread that used it; a server parses each table on another one.
        pa.default_memory_pool().release_unused()
    return found.table


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which columns are text, by index with the row and text of the first stray cell; which are empty."""

    texts: Mapping[int, tuple[int, str]] = field(default_factory=dict)
    empty: frozenset[int] = frozenset()

    def correlated(self, width: int) -> list[int]:
        return [index for index in range(width) if index not in self.texts and index not in self.empty]


@dataclass(frozen=True, slots=True)
class _Found:
    layout: _Layout
    table: ParsedTable


def _open_rows(
    source: BinaryIO, display_name: str, stated: TableFormat | None, check_still_wanted: Callable[[], None]
) -> Rows:
    source.seek(0)
    magic = source.read(4)
    is_parquet = magic == PARQUET
    if stated is TableFormat.PARQUET and magic and not is_parquet:
        raise refusal(
            Reason.BAD_PARQUET,
            f"'{display_name}' was said to be Parquet, and is not: it does not begin with PAR1. Upload it "
            "without saying a format, or with the right one.",
        )
    if is_parquet and stated not in {None, TableFormat.PARQUET}:
        raise refusal(
            Reason.FORMAT_MISMATCH,
            f"'{display_name}' was said to be {str(stated).upper()}, and is Parquet. Upload it without "
            "saying a format, or as Parquet.",
        )
    if is_parquet:
        return open_parquet(source, display_name)
    is_gzip = magic.startswith(GZIP)
    return open_delimited(source, display_name, stated, check_still_wanted, compressed=is_gzip)


def _first_guess(rows: Rows, display_name: str) -> _Layout:
    with closing(rows.batches()) as batches:
        first = next(batches, None)
    if first is None:
        raise refusal(
            Reason.HEADER_ONLY,
            f"'{display_name}' has column names ({len(rows.names)}) and no rows. Add the data.",
        )
    texts: dict[int, tuple[int, str]] = {}
    empty = set()
    for index, array in enumerate(first.columns):
        cells = read_numbers(array, rows.decimal_mark)
        if cells.stray is not None:
            texts[index] = (cells.stray[0] + 1, cells.stray[1])
        elif cells.missing_count == len(cells.numbers):
            empty.add(index)
    return _Layout(texts, frozenset(empty))


def _parse(
    rows: Rows,
    guess: _Layout,
    display_name: str,
    destination: Path,
    max_rows: int,
    check_still_wanted: Callable[[], None],
) -> _Found:
    """Read all rows under a guess of their layout; what is found may differ, then the table is void."""
    width = len(rows.names)
    correlated = guess.correlated(width)
    texts = dict(guess.texts)
    moments = [ColumnMoments() for _ in range(width)]
    missing_counts = [0] * width
    joint = JointMoments(len(correlated))
    row_count = 0
    with _TableWriter(destination, rows.names, guess) as writer, closing(rows.batches()) as batches:
        for batch in batches:
            check_still_wanted()
            written: list[Any] = []
            numbers = {}
            for index, array in enumerate(batch.columns):
                if index in texts:
                    strings = read_texts(array)
                    missing_counts[index] += strings.null_count
                    written.append(strings)
                    continue
                cells = read_numbers(array, rows.decimal_mark)
                if cells.stray is not None:
                    texts[index] = (row_count + cells.stray[0] + 1, cells.stray[1])
                missing_counts[index] += cells.missing_count
                moments[index].add(cells.numbers)
                numbers[index] = cells.numbers
                written.append(pa.array(cells.numbers, from_pandas=True))
            row_count += batch.num_rows
            _check_size(row_count, width, max_rows, display_name)
            # Once a column turns out to be text, the rest of this pass only looks for others.
            if len(texts) == len(guess.texts):
                writer.write(written)
                if correlated:
                    joint.add(np.column_stack([numbers[index] for index in correlated]))
    empty = frozenset(index for index in range(width) if index not in texts and not moments[index].count)
    columns = tuple(
        _column(name, missing_counts[index], moments[index], texts.get(index))
        for index, name in enumerate(rows.names)
    )
    correlation = Correlation(
        tuple(rows.names[index] for index in correlated),
        tuple(joint.correlation().ravel().tolist()),
        joint.count,
    )
    return _Found(_Layout(texts, empty), ParsedTable(rows.format, columns, row_count, correlation))


def _check_size(row_count: int, width: int, max_rows: int, display_name: str) -> None:
    if row_count > max_rows:
        raise refusal(
            Reason.TOO_LARGE,
            f"'{display_name}' has more than {max_rows} rows, the most this service accepts. Upload a sample "
            "of them.",
        )
    if row_count * width > limits.MAX_CELLS:
        raise refusal(
            Reason.TOO_LARGE,
            f"'{display_name}' has more than {limits.MAX_CELLS} cells. Upload fewer rows or columns.",
        )


def _column(name: str, missing_count: int, moments: ColumnMoments, stray: tuple[int, str] | None) -> Column:
    role = column_role(name)
    if stray is None:
        return Column(name, ColumnKind.NUMERIC, role, missing_count, moments.statistics())
    row, value = stray
    return Column(name, ColumnKind.TEXT, role, missing_count, text_row=row, text_value=value)


class _TableWriter:
    """Writes batches as row groups of about `limits.ROW_GROUP_BYTES`."""

    def __init__(self, destination: Path, names: tuple[str, ...], layout: _Layout) -> None:
        kinds = [pa.string() if index in layout.texts else pa.float64() for index in range(len(names))]
        self._schema = pa.schema(list(zip(names, kinds, strict=True)))
        self._writer = parquet.ParquetWriter(destination, self._schema, compression="zstd")
        self._batches: list[Any] = []
        self._size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._flush()
        self._writer.close()

    def write(self, arrays: list[Any]) -> None:
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        self._batches.append(batch)
        self._size_bytes += batch.nbytes
        if self._size_bytes >= limits.ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._batches:
            self._writer.write_table(pa.Table.from_batches(self._batches))
            self._batches.clear()
            self._size_bytes = 0
