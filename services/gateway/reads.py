"""Reads of stored tables: the row groups of a few calls are in memory, and other calls wait for their turn.

A row group takes some 50 MiB while it is read, and any call that looks into a table may be made sixty times
at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from services.gateway.turns import Turns

__all__ = ["Reads"]

# Two keep the processors busy while others wait for the object store. A turn is one row group, so that a
# large table keeps nobody waiting for long.
_READERS = 4


class Reads:
    """The turns of one gateway's calls at reading a row group."""

    def __init__(self) -> None:
        """Nobody reads."""
        self._turns = Turns(_READERS)

    def turns(self, check_still_wanted: Callable[[], None]) -> Callable[[], AbstractContextManager[None]]:
        """What a call enters for each row group, as `services.tables` takes it.

        `check_still_wanted` is called before each and while it waits, and ends the reading by raising.
        """

        @contextmanager
        def turn() -> Iterator[None]:
            check_still_wanted()
            with self._turns.take(check_still_wanted):
                yield

        return turn
