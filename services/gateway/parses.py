"""Parses: a few tables are read at once, however many uploads have come in."""

from __future__ import annotations

import threading
from collections import deque
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
        self._texts = _Places(_TEXTS)
        self._parquets = _Places(_PARQUETS)

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


class _Places:
    """So many places, and a line of those who wait for one: who came first is let in first."""

    def __init__(self, count: int) -> None:
        """All are free."""
        self._lock = threading.Lock()
        self._free = count
        self._line: deque[threading.Event] = deque()

    @contextmanager
    def take(self, check_still_wanted: Callable[[], None]) -> Iterator[None]:
        """Hold a place; `check_still_wanted` is called while waiting for it, and ends that by raising."""
        ticket = threading.Event()
        with self._lock:
            self._line.append(ticket)
            self._let_in()
        try:
            while not ticket.wait(_PATIENCE_SECONDS):
                check_still_wanted()
            yield
        finally:
            with self._lock:
                if ticket.is_set():  # it may have been let in just as it gave up
                    self._free += 1
                else:
                    self._line.remove(ticket)
                self._let_in()

    def _let_in(self) -> None:
        while self._free and self._line:
            self._free -= 1
            self._line.popleft().set()


def _copy(source: BinaryIO, destination: Path, check_still_wanted: Callable[[], None]) -> None:
    """Where the other process finds it: an object store's file may be no file of this machine."""
    source.seek(0)
    with destination.open("wb") as copy:
        for piece in iter(partial(source.read, _COPIED_BYTES), b""):
            check_still_wanted()
            copy.write(piece)
