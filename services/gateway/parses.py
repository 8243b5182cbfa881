"""Parses: a few tables are read at once, however many uploads have come in."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

from services.core.datasets import TableFormat
from services.gateway.turns import Turns
from services.tables import ParsedTable, is_parquet, parse_apart, parse_table

__all__ = ["Parses"]

# More would be no faster, as a text keeps a processor busy and holds Python's lock for much of the time;
# and a process that reads Parquet may take much memory.
_TEXTS = 2
_PARQUETS = 1
_COPIED_BYTES = 1 << 20


class Parses:
    """A bound on the memory of parsing: two texts in this process, one Parquet file in one of its own."""

    def __init__(self, max_rows: int) -> None:
        """Accept tables of at most `max_rows` data rows."""
        self._max_rows = max_rows
        self._texts = Turns(_TEXTS)
        self._parquets = Turns(_PARQUETS)

    def parse(
        self,
        source: BinaryIO,
        display_name: str,
        table_format: TableFormat | None,
        destination: Path,
        check_still_wanted: Callable[[], None],
    ) -> ParsedTable:
        """Do what `parse_table` does, when its turn comes; `check_still_wanted` ends the waiting, too."""
        if not is_parquet(source):
            with self._texts.take(check_still_wanted):
                return parse_table(
                    source,
                    display_name,
                    table_format,
                    destination,
                    max_rows=self._max_rows,
                    check_still_wanted=check_still_wanted,
                )
        with self._parquets.take(check_still_wanted):
            copy = destination.with_name("upload.parquet")
            _copy(source, copy, check_still_wanted)
            return parse_apart(
                copy,
                display_name,
                table_format,
                destination,
                max_rows=self._max_rows,
                check_still_wanted=check_still_wanted,
            )


def _copy(source: BinaryIO, destination: Path, check_still_wanted: Callable[[], None]) -> None:
    """Where the other process finds it: an object store's file may be no file of this machine."""
    source.seek(0)
    with destination.open("wb") as copy:
        for piece in iter(partial(source.read, _COPIED_BYTES), b""):
            check_still_wanted()
            copy.write(piece)
