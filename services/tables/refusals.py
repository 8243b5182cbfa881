"""Every reason for which an uploaded table is refused, in one place."""

from __future__ import annotations

from enum import StrEnum

from services.core.errors import InvalidTable

__all__ = ["Reason", "refusal"]


class Reason(StrEnum):
    """The `reason` of an `InvalidTable`: stable, for programs; the message is for people."""

    BAD_ENCODING = "BAD_ENCODING"
    """Text in no encoding that can be read: not UTF-8, not UTF-16 with a mark, not Windows-1252."""
    BAD_GZIP = "BAD_GZIP"
    """A gzip that is cut off or damaged."""
    BAD_PARQUET = "BAD_PARQUET"
    """A Parquet file that is cut off or damaged, or a file said to be Parquet that is not.
    Also one that breaks the process which reads it."""
    BINARY_FILE = "BINARY_FILE"
    """A workbook, picture, archive or other binary file."""
    COLUMN_NAME_TOO_LONG = "COLUMN_NAME_TOO_LONG"
    """A column name above `limits.MAX_NAME_CHARACTERS`."""
    DUPLICATE_COLUMN = "DUPLICATE_COLUMN"
    """Two columns of the same name."""
    EMPTY_FILE = "EMPTY_FILE"
    """No bytes, or nothing but blank lines."""
    FORMAT_MISMATCH = "FORMAT_MISMATCH"
    """Said to be CSV or TSV, and is Parquet."""
    HEADER_ONLY = "HEADER_ONLY"
    """Column names and no row."""
    LINE_TOO_LONG = "LINE_TOO_LONG"
    """A line above `limits.MAX_LINE_BYTES`."""
    NOT_A_TABLE = "NOT_A_TABLE"
    """Text of another kind: a web page, XML, JSON."""
    NO_HEADER = "NO_HEADER"
    """The first line holds numbers instead of names."""
    RAGGED_ROW = "RAGGED_ROW"
    """A row with more or fewer cells than the header."""
    TOO_LARGE = "TOO_LARGE"
    """Unfolds to more text than `limits.MAX_TEXT_BYTES` or more cells than `limits.MAX_CELLS`, or takes more
    memory or time to read than there is for one file."""
    TOO_MANY_COLUMNS = "TOO_MANY_COLUMNS"
    """More columns than `services.core.datasets.MAX_COLUMNS`."""
    UNCLOSED_QUOTE = "UNCLOSED_QUOTE"
    """A quoted cell that does not end."""
    UNNAMED_COLUMN = "UNNAMED_COLUMN"
    """A header cell without a name."""
    UNSUPPORTED_TYPE = "UNSUPPORTED_TYPE"
    """A Parquet column of lists, structures, bytes or another type that has no cells to cluster."""


def refusal(reason: Reason, message: str, **facts: str | int) -> InvalidTable:
    """Make the error for `reason`; `facts` (row, column, …) go into its metadata."""
    return InvalidTable(message, reason.value, {name: str(fact) for name, fact in facts.items()})
