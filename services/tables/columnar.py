"""Parquet uploads."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import parquet

from services.core.datasets import MAX_COLUMNS, TableFormat
from services.tables import limits
from services.tables.dialect import check_count, check_names
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
        # Before anything is done for each of a million columns.
        check_count(sum(_PANDAS_INDEX.fullmatch(name) is None for name in file.schema.names), display_name)
        schema = file.schema_arrow
        all_names, types = schema.names, schema.types
        row_count = file.metadata.num_rows
        groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
        size_bytes = sum(group.total_byte_size for group in groups)
    chosen = [index for index, name in enumerate(all_names) if not _PANDAS_INDEX.fullmatch(name)]
    if not chosen:
        raise refusal(Reason.EMPTY_FILE, f"'{display_name}' has no columns.")
    names = check_names([all_names[index].strip() for index in chosen], display_name)
    for name, index in zip(names, chosen, strict=True):
        if not _is_supported(types[index]):
            raise refusal(
                Reason.UNSUPPORTED_TYPE,
                f"Column '{name}' of '{display_name}' holds {types[index]}, which is neither numbers "
                "nor text. Leave it out, or flatten it.",
                column=name,
            )
    if row_count * len(all_names) > limits.MAX_CELLS or size_bytes > limits.MAX_TEXT_BYTES:
        raise refusal(
            Reason.TOO_LARGE,
            f"'{display_name}' unfolds to {row_count} rows of {len(all_names)} columns in {size_bytes} "
            f"bytes; at most {limits.MAX_CELLS} cells and {limits.MAX_TEXT_BYTES} bytes are allowed. Upload "
            "fewer rows or columns.",
        )
    texts = [all_names[index] for index in chosen if _is_text(types[index])]
    return Rows(TableFormat.PARQUET, names, ".", partial(_read_batches, source, display_name, chosen, texts))


def _open(source: BinaryIO, texts: Sequence[str] = ()) -> Any:
    source.seek(0)
    # Buffered and not pre-read: pages come one by one instead of whole column chunks. Text stays a
    # dictionary until `_unfold`: a kilobyte of file can repeat a megabyte of text a million times.
    return parquet.ParquetFile(source, read_dictionary=texts, buffer_size=_BUFFER_BYTES, pre_buffer=False)


def _read_batches(
    source: BinaryIO, display_name: str, chosen: list[int], texts: list[str]
) -> Generator[Any, None, None]:
    with _told_as_refusals(display_name):
        file = _open(source, texts)
        size_bytes = 0
        rows = max(1, _BATCH_CELLS // min(len(file.schema_arrow.names), MAX_COLUMNS))
        for batch in file.iter_batches(batch_size=rows, use_threads=False):
            columns = [batch.column(index) for index in chosen]
            kept = pa.RecordBatch.from_arrays(columns, [str(index) for index in chosen])
            kept.validate(full=True)  # text that is not UTF-8 and indices that point nowhere
            row_bytes = sum((_text_bytes(column) for column in columns), np.zeros(len(kept), dtype=np.int64))
            size_bytes += int(row_bytes.sum())
            if size_bytes > limits.MAX_TEXT_BYTES or row_bytes.max(initial=0) > limits.BLOCK_BYTES:
                raise refusal(
                    Reason.TOO_LARGE,
                    f"'{display_name}' unfolds to more than {limits.MAX_TEXT_BYTES} bytes of text, or more "
                    f"than {limits.BLOCK_BYTES} in one row. Leave out columns of text.",
                )
            yield from _unfold(kept, row_bytes)


def _text_bytes(array: Any) -> NDArray[np.int64]:
    """Bytes of text in each of m cells (m,), before they are written out; zeros for numbers."""
    if not pa.types.is_dictionary(array.type) or not _is_text(array.type):
        return np.zeros(len(array), dtype=np.int64)
    lengths = pc.fill_null(pc.binary_length(array.dictionary.cast(pa.string())), 0)
    return np.asarray(pc.fill_null(lengths.take(array.indices), 0), dtype=np.int64)


def _unfold(batch: Any, row_bytes: NDArray[np.int64]) -> Iterator[Any]:
    """Cut a batch where its text passes a block, so that each part can be written out in memory."""
    start = 0
    ends = np.cumsum(row_bytes)
    while start < batch.num_rows:
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + limits.BLOCK_BYTES, side="right")))
        yield batch.slice(start, stop - start)
        start = stop


@contextmanager
def _told_as_refusals(display_name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError, KeyError, OSError) as error:
        # Damaged names come as UnicodeDecodeError or KeyError from pyarrow's own lookups.
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
            raise  # the memory or the disk, not the file
        raise refusal(
            Reason.BAD_PARQUET,
            f"'{display_name}' is not a Parquet file that can be read: it is cut off, damaged or encrypted. "
            "Write and upload it again.",
        ) from error


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_supported(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_supported(kind.value_type)
    tests = (
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal,
        pa.types.is_boolean,
        pa.types.is_null,
        _is_text,
        pa.types.is_date,
        pa.types.is_timestamp,
        pa.types.is_time,
    )
    return any(test(kind) for test in tests)
