"""What the process that reads Parquet answers, as JSON: whoever wrote it, reading it runs nothing.

Floats keep their bits (JSON as Python writes it: shortest repr, `NaN`, `Infinity`, `-0.0`).
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter

from services.core.datasets import MAX_COLUMNS, ColumnKind
from services.core.errors import InvalidTable
from services.tables.parsing import ParsedTable
from services.tables.refusals import Reason

__all__ = ["read_answer", "write_answer"]


@dataclass(frozen=True, slots=True)
class _Refusal:
    reason: Reason
    message: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Failure:
    """Of the disk, as the operating system numbers it."""

    errno: int


_ANSWER: TypeAdapter[ParsedTable | _Refusal | _Failure] = TypeAdapter(ParsedTable | _Refusal | _Failure)


def write_answer(found: ParsedTable | InvalidTable | OSError) -> bytes:
    """The answer as bytes; an OSError needs its `errno`, and keeps nothing else."""
    if isinstance(found, ParsedTable):
        document = asdict(found)
    elif isinstance(found, InvalidTable):
        document = {"reason": found.reason, "message": found.message, "metadata": dict(found.metadata)}
    else:
        document = {"errno": found.errno}
    return json.dumps(document, separators=(",", ":")).encode()


def read_answer(answer: bytes, max_rows: int) -> ParsedTable | InvalidTable | OSError:
    """Read what `write_answer` made, of a table of at most `max_rows`; ValueError for anything else."""
    found = _ANSWER.validate_json(answer, strict=True)
    if isinstance(found, _Refusal):
        return InvalidTable(found.message, found.reason.value, dict(found.metadata))
    if isinstance(found, _Failure):
        if found.errno not in errno.errorcode:
            raise ValueError(f"The operating system has no error {found.errno}.")
        return OSError(found.errno, os.strerror(found.errno))
    _check(found, max_rows)
    return found


def _check(table: ParsedTable, max_rows: int) -> None:
    """That numbers and names are such as can be; whether they are true only the table can tell."""
    names = [column.name for column in table.columns]
    numeric = {column.name for column in table.columns if column.kind is ColumnKind.NUMERIC}
    correlation = table.correlation
    correlated = set(correlation.columns)
    if not 0 < len(names) <= MAX_COLUMNS or len(set(names)) < len(names):
        raise ValueError(f"There are no such {len(names)} columns.")
    if not 0 <= table.row_count <= max_rows or not 0 <= correlation.row_count <= table.row_count:
        raise ValueError(f"There are no such {table.row_count} rows, {correlation.row_count} complete.")
    if any(not 0 <= column.missing_count <= table.row_count for column in table.columns):
        raise ValueError("A column misses more cells than there are rows, or fewer than none.")
    if any(column.text_row and not 0 < column.text_row <= table.row_count for column in table.columns):
        raise ValueError("A column is said to be text by a row that is not there.")
    if not correlated <= numeric or len(correlated) < len(correlation.columns):
        raise ValueError("There are correlations of what are not numeric columns.")
    if len(correlation.values) != len(correlated) ** 2:
        raise ValueError(f"{len(correlated)} columns do not have {len(correlation.values)} correlations.")
