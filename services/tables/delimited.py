"""CSV and TSV, plain or gzip."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import csv

from services.core.datasets import TableFormat
from services.core.errors import InvalidTable
from services.tables import limits
from services.tables.cells import MISSING
from services.tables.dialect import Dialect, read_dialect
from services.tables.refusals import Reason, refusal
from services.tables.rows import Rows
from services.tables.signatures import PARQUET, check_text_signature
from services.tables.survey import Survey, guess_encoding, survey_text
from services.tables.text import Encoding, open_bytes, open_text

__all__ = ["open_delimited"]

_QUOTE_ADVICE = "Perhaps a double quote is not closed in this row or before it."


def open_delimited(
    source: BinaryIO,
    display_name: str,
    stated: TableFormat | None,
    check_still_wanted: Callable[[], None],
    *,
    compressed: bool,
) -> Rows:
    """Read the header of a text table and look at all of its text once.

    `check_still_wanted` is called again and again meanwhile; what it raises passes through.

    Raises:
        InvalidTable: with the reason and the sentence; see `refusals.Reason`.
    """
    head = open_bytes(source, display_name, compressed=compressed).read(limits.MAX_LINE_BYTES)
    if head.startswith(PARQUET):
        raise refusal(
            Reason.BINARY_FILE,
            f"'{display_name}' is a Parquet file inside a gzip. Upload the Parquet file itself.",
        )
    check_text_signature(head, display_name)
    is_all = len(head) < limits.MAX_LINE_BYTES
    guess = guess_encoding(head, display_name)
    # A hopeless header is refused before a gigabyte is read for nothing.
    dialect = read_dialect(_decode(head, guess), display_name, stated, is_all=is_all)
    survey = survey_text(source, display_name, check_still_wanted, compressed=compressed)
    if survey.encoding is not guess:
        dialect = read_dialect(_decode(head, survey.encoding), display_name, stated, is_all=is_all)
    text = _Text(source, display_name, dialect, survey, compressed)
    return Rows(dialect.table_format, dialect.names, dialect.decimal_mark, partial(_read_batches, text))


@dataclass(frozen=True, slots=True)
class _Text:
    source: BinaryIO
    display_name: str
    dialect: Dialect
    survey: Survey
    compressed: bool


def _decode(head: bytes, encoding: Encoding) -> str:
    # `head` may end within a character; an incremental decoder leaves that one out.
    text = codecs.getincrementaldecoder(encoding.value)("replace").decode(head)
    return text.removeprefix("\ufeff") if encoding is Encoding.UTF_8 else text


def _read_batches(text: _Text) -> Generator[Any, None, None]:
    # Arrow reads ahead on a thread of its own. Closing waits for a read under way and lets no other begin:
    # without it a reader that is left before its end would move `source` below the next one's feet.
    with closing(
        open_text(text.source, text.display_name, text.survey.encoding, compressed=text.compressed)
    ) as stream:
        stream.read(text.dialect.header_bytes)
        if stream.peek(1):
            yield from _read_rows(stream, text)


def _read_rows(stream: BufferedReader, text: _Text) -> Iterator[Any]:
    names = [str(number) for number in range(len(text.dialect.names))]
    ragged: list[Any] = []

    def judge(row: Any) -> str:
        if row.actual_columns == 1 and not row.text.strip():
            return "skip"
        ragged.append(row)
        return "error"

    last = None
    try:
        reader = csv.open_csv(
            stream,
            # One thread: rows keep their numbers, and memory is that of one block.
            read_options=csv.ReadOptions(
                column_names=names, block_size=limits.BLOCK_BYTES, use_threads=False
            ),
            parse_options=csv.ParseOptions(
                delimiter=text.dialect.delimiter,
                newlines_in_values=text.survey.quote_count > 0,
                invalid_row_handler=judge,
            ),
            convert_options=csv.ConvertOptions(
                column_types={name: pa.string() for name in names},
                null_values=list(MISSING),
                strings_can_be_null=True,
                check_utf8=False,  # the survey did
            ),
        )
        for last in reader:
            if last.num_rows:
                yield last
    except pa.ArrowInvalid as error:
        raise _refuse_rows(text, ragged, error) from error
    _check_last_quote(text, last)


def _refuse_rows(text: _Text, ragged: list[Any], error: pa.ArrowInvalid) -> InvalidTable:
    if ragged:
        row = ragged[-1]
        advice = "Each row must have one cell per column."
        if "\n" in row.text or "\r" in row.text:
            advice = _QUOTE_ADVICE
        cells = "1 cell" if row.actual_columns == 1 else f"{row.actual_columns} cells"
        return refusal(
            Reason.RAGGED_ROW,
            f"Row {row.number} of '{text.display_name}' (not counting the header) has {cells}; the header "
            f"has {row.expected_columns}. It begins '{_excerpt(row.text)}'. {advice}",
            row=row.number,
        )
    if text.survey.quote_count:
        return refusal(
            Reason.UNCLOSED_QUOTE,
            f"A quoted cell of '{text.display_name}' goes on for more than {limits.BLOCK_BYTES} bytes. "
            "Close its quote.",
        )
    return refusal(Reason.RAGGED_ROW, f"'{text.display_name}' cannot be read as a table: {error}")


def _check_last_quote(text: _Text, last: Any) -> None:
    """Refuse a last cell that swallowed lines because its quote never closed.

    The parser lets the end of the file close it, without a word.
    """
    if text.survey.quote_count % 2 == 0 or last is None or not last.num_rows:
        return
    cell = last.column(last.num_columns - 1)[last.num_rows - 1].as_py() or ""
    if "\n" in cell or "\r" in cell:
        raise refusal(
            Reason.UNCLOSED_QUOTE,
            f"The last cell of '{text.display_name}', in column '{text.dialect.names[-1]}', begins with a "
            f"double quote that is never closed: '{_excerpt(cell)}'. Close it, or take it away.",
        )


def _excerpt(text: str) -> str:
    """The beginning of a cell or row, in one line."""
    return " ".join(text[: limits.MAX_TEXT_VALUE_CHARACTERS].split())
