"""Parses: a few tables are read at once, however many uploads have come in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from services.core.datasets import TableFormat
from services.tables import ParsedTable, is_parquet, parse_apart, parse_table

__all__ = ["Parses"]

# More would be no faster, as a text keeps a processor busy and holds Python's lock for much of the time;
# and a process that reads Parquet may take much memory.
_TEXTS = 2
_PARQUETS = 1
_PATIENCE_SECONDS = 0.5
_COPIED_BYTES = 1 << 20


class Parses:
    """A bound on the memory of parsing: two texts in this process, one Parquet file in one of its own."""

    def __init__(self, max_rows: int) -> None:
        """Accept tables of at most `max_rows` data rows."""
        self._max_rows = max_rows
        self._texts = threading.Semaphore(_TEXTS)
        self._parquets = threading.Semaphore(_PARQUETS)

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
            with _turn(self._texts, check_still_wanted):
                return parse_table(
                    source,
                    display_name,
                    table_format,
                    destination,
                    max_rows=self._max_rows,
                    check_still_wanted=check_still_wanted,
                )
        with _turn(self._parquets, check_still_wanted):
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


@contextmanager
def _turn(places: threading.Semaphore, check_still_wanted: Callable[[], None]) -> Iterator[None]:
    while not places.acquire(timeout=_PATIENCE_SECONDS):
        check_still_wanted()
    try:
        yield
    finally:
        places.release()


def _copy(source: BinaryIO, destination: Path, check_still_wanted: Callable[[], None]) -> None:
    """Where the other process finds it: an object store's file may be no file of this machine."""
    source.seek(0)
    with destination.open("wb") as copy:
        for piece in iter(partial(source.read, _COPIED_BYTES), b""):
            check_still_wanted()
            copy.write(piece)
