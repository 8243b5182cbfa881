"""How a text table is written: delimiter, decimal mark and header, told from its first rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from services.core.datasets import MAX_COLUMNS, TableFormat
from services.core.errors import InvalidTable
from services.tables import limits
from services.tables.refusals import Reason, refusal

__all__ = ["Dialect", "check_count", "check_names", "read_dialect"]

_DELIMITERS = (",", ";", "\t")
_SAMPLED_ROWS = 500
# Excel writes this line so that it reads its own file back.
_SEPARATOR_LINE = re.compile(r"sep=([,;\t])(?:\r\n|\r|\n)", re.IGNORECASE)
_LINE_BREAK = re.compile(r"[ \t]*[\r\n]+[ \t]*")
_POINT_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")
_COMMA_NUMBER = re.compile(r"\s*[+-]?(?:\d+,\d*|,\d+)(?:[eE][+-]?\d+)?\s*")
_NUMBER = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How to read a text table.

    Attributes:
        delimiter: comma, semicolon or tab.
        decimal_mark: point, or comma where the sampled rows say so and the delimiter is another.
        names: of the columns, outer spaces and quotes removed.
        header_bytes: length of everything before the first data row, in UTF-8.
    """

    delimiter: str
    decimal_mark: str
    names: tuple[str, ...]
    header_bytes: int

    @property
    def table_format(self) -> TableFormat:
        """TSV for tabs, CSV for the rest."""
        return TableFormat.TSV if self.delimiter == "\t" else TableFormat.CSV


def read_dialect(head: str, display_name: str, stated: TableFormat | None, *, is_all: bool) -> Dialect:
    """Read delimiter, decimal mark and header from the beginning of a text.

    The delimiter is the one that splits the header in several cells and most rows in as many; a table
    that none splits has one column. A stated TSV is split at tabs only.

    Args:
        head: the first characters of the text, without byte-order mark.
        display_name: the file's name, for sentences.
        stated: the format the uploader gave.
        is_all: whether `head` is the whole text.

    Raises:
        InvalidTable: EMPTY_FILE, NO_HEADER, LINE_TOO_LONG, UNCLOSED_QUOTE or what `check_names` finds.
    """
    body = head.lstrip()
    if not body:
        raise refusal(Reason.EMPTY_FILE, f"'{display_name}' is empty. Upload a table with a header and rows.")
    # Blank lines above the header go; spaces and tabs that begin it stay.
    start = len(head) - len(body)
    start = max(head.rfind("\n", 0, start), head.rfind("\r", 0, start)) + 1
    separator = _SEPARATOR_LINE.match(head, start)
    if separator:
        delimiter = separator[1]
        start = separator.end()
    elif stated is TableFormat.TSV:
        delimiter = "\t"
    else:
        delimiter = _sniff_delimiter(head[start:], is_all=is_all)
    header, length = _read_header(head[start:], delimiter, display_name, is_all=is_all)
    cells = [_clean_name(cell) for cell in header]
    numbers = [cell for cell in cells if _NUMBER.fullmatch(cell)]
    if numbers and all(cell in numbers or not cell for cell in cells):
        raise refusal(
            Reason.NO_HEADER,
            f"The first line of '{display_name}' holds numbers ({', '.join(numbers[:4])}"
            f"{', …' if len(numbers) > 4 else ''}) instead of names. Put a line with the names of the "
            "columns above it.",
        )
    names = check_names(cells, display_name)
    rows = _rows(head[start + length :], delimiter, is_all=is_all)
    mark = "," if delimiter != "," and _says_comma(rows) else "."
    return Dialect(delimiter, mark, names, len(head[: start + length].encode()))


def check_count(count: int, display_name: str) -> None:
    """Raise InvalidTable TOO_MANY_COLUMNS for more columns than `MAX_COLUMNS`."""
    if count > MAX_COLUMNS:
        raise refusal(
            Reason.TOO_MANY_COLUMNS,
            f"'{display_name}' has {count} columns or more; at most {MAX_COLUMNS} are allowed. Leave out "
            "what is not needed.",
        )


def check_names(names: Sequence[str], display_name: str) -> tuple[str, ...]:
    """Return the names of the columns, which must be few, given, short and different.

    Raises:
        InvalidTable: TOO_MANY_COLUMNS, UNNAMED_COLUMN, COLUMN_NAME_TOO_LONG or DUPLICATE_COLUMN.
    """
    check_count(len(names), display_name)
    seen: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name:
            raise refusal(
                Reason.UNNAMED_COLUMN,
                f"Column {number} of '{display_name}' has no name in the header. Name it, or leave it out "
                "(row names: row.names = FALSE in R, index=False in pandas).",
                column=number,
            )
        if len(name) > limits.MAX_NAME_CHARACTERS:
            raise refusal(
                Reason.COLUMN_NAME_TOO_LONG,
                f"The name of column {number} of '{display_name}' has {len(name)} characters, more than "
                f"{limits.MAX_NAME_CHARACTERS}. Check that the first line holds the names of the columns.",
                column=number,
            )
        if name in seen:
            raise refusal(
                Reason.DUPLICATE_COLUMN,
                f"Columns {seen[name]} and {number} of '{display_name}' are both called '{name}'. "
                "Rename one of them.",
                column=number,
            )
        seen[name] = number
    return tuple(names)


def _clean_name(cell: str) -> str:
    # Spreadsheets break lines in headers; a name has one.
    name = _LINE_BREAK.sub(" ", cell.strip())
    if len(name) >= 2 and name[0] == name[-1] == '"':
        # A space before the quote kept it from being read as one: `a, "b"`.
        name = name[1:-1].replace('""', '"').strip()
    return name


def _read_header(text: str, delimiter: str, display_name: str, *, is_all: bool) -> tuple[list[str], int]:
    """Return the header's cells and the length of the text that holds them."""
    lines = io.StringIO(text, newline="")
    try:
        header = next(csv.reader(lines, delimiter=delimiter))
    except csv.Error as error:
        raise _refuse_header(text, display_name) from error
    check_count(len(header), display_name)
    length = lines.tell()
    ends_open = length == len(text) and text.count('"') % 2 == 1 and any("\n" in cell for cell in header)
    if ends_open or (length == len(text) and not is_all):
        raise _refuse_header(text, display_name)
    return header, length


def _refuse_header(text: str, display_name: str) -> InvalidTable:
    """The header does not end, or not soon enough."""
    if '"' in text and ("\n" in text or "\r" in text):
        return refusal(
            Reason.UNCLOSED_QUOTE,
            f"The header of '{display_name}' holds a double quote that is not closed in its line. Close it.",
        )
    return refusal(
        Reason.LINE_TOO_LONG,
        f"The first line of '{display_name}' is too long for a header. Check that the file is a table, with "
        "the names of its columns in the first line.",
    )


def _rows(text: str, delimiter: str, *, is_all: bool) -> list[list[str]]:
    """The first rows of a text, blank ones left out; none where they are no rows under this delimiter."""
    try:
        rows = list(islice(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), _SAMPLED_ROWS))
    except csv.Error:
        return []
    if len(rows) < _SAMPLED_ROWS and not is_all:
        rows = rows[:-1] or rows  # the last one is cut off
    return [row for row in rows if row and any(cell.strip() for cell in row)]


def _sniff_delimiter(text: str, *, is_all: bool) -> str:
    best = (-1.0, 0)
    chosen = ","
    for delimiter in _DELIMITERS:
        rows = _rows(text, delimiter, is_all=is_all)
        width = len(rows[0]) if rows else 0
        if width < 2:
            continue
        agreeing = sum(len(row) == width for row in rows[1:]) / max(len(rows) - 1, 1)
        if (agreeing, width) > best:
            best = (agreeing, width)
            chosen = delimiter
    return chosen


def _says_comma(rows: list[list[str]]) -> bool:
    cells = [cell for row in rows for cell in row]
    commas = sum(_COMMA_NUMBER.fullmatch(cell) is not None for cell in cells)
    points = sum(_POINT_NUMBER.fullmatch(cell) is not None for cell in cells)
    return commas > points
