"""Parquet uploads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import parquet

from services.core.datasets import MAX_COLUMNS, TableFormat
from services.tables import limits
from services.tables.dialect import check_names
from services.tables.refusals import Reason, refusal
from services.tables.rows import Rows

__all__ = ["open_parquet"]

_BATCH_CELLS = 1 << 18
_BUFFER_BYTES = 1 << 16
# pandas stores the index of a data frame as a column of this name.
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


def open_parquet(source: BinaryIO, display_name: str) -> Rows:
    """Read the schema of a Parquet file. An index that pandas stored is left out.

    Raises:
        InvalidTable: BAD_PARQUET, UNSUPPORTED_TYPE, TOO_LARGE or what `dialect.check_names` finds.
    """
    with _told_as_refusals(display_name):
        file = _open(source)
        schema = file.schema_arrow
        row_count = file.metadata.num_rows
    chosen = [index for index, name in enumerate(schema.names) if not _PANDAS_INDEX.fullmatch(name)]
    if not chosen:
        raise refusal(Reason.EMPTY_FILE, f"'{display_name}' has no columns.")
    names = check_names([schema.names[index].strip() for index in chosen], display_name)
    for name, index in zip(names, chosen, strict=True):
        if not _is_supported(schema.types[index]):
            raise refusal(
                Reason.UNSUPPORTED_TYPE,
                f"Column '{name}' of '{display_name}' holds {schema.types[index]}, which is neither numbers "
                "nor text. Leave it out, or flatten it.",
                column=name,
            )
    if row_count * len(schema.names) > limits.MAX_CELLS:
        raise refusal(
            Reason.TOO_LARGE,
            f"'{display_name}' has {row_count} rows of {len(schema.names)} columns, more than "
            f"{limits.MAX_CELLS} cells. Upload fewer rows or columns.",
        )
    return Rows(TableFormat.PARQUET, names, ".", partial(_read_batches, source, display_name, chosen))


def _open(source: BinaryIO) -> Any:
    source.seek(0)
    # Buffered and not pre-read: pages come one by one instead of whole column chunks.
    return parquet.ParquetFile(source, buffer_size=_BUFFER_BYTES, pre_buffer=False)


def _read_batches(source: BinaryIO, display_name: str, chosen: list[int]) -> Iterator[Any]:
    with _told_as_refusals(display_name):
        file = _open(source)
        rows = max(1, _BATCH_CELLS // min(len(file.schema_arrow.names), MAX_COLUMNS))
        for batch in file.iter_batches(batch_size=rows, use_threads=False):
            if batch.num_rows:
                columns = [batch.column(index) for index in chosen]
                yield pa.RecordBatch.from_arrays(columns, [str(index) for index in chosen])


@contextmanager
def _told_as_refusals(display_name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk, not the file
        raise refusal(
            Reason.BAD_PARQUET,
            f"'{display_name}' is not a Parquet file that can be read: it is cut off, damaged or encrypted. "
            "Write and upload it again.",
        ) from error


def _is_supported(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_supported(kind.value_type)
    tests = (
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal,
        pa.types.is_boolean,
        pa.types.is_null,
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_date,
        pa.types.is_timestamp,
        pa.types.is_time,
    )
    return any(test(kind) for test in tests)
