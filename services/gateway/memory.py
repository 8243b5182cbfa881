"""Memory: how many bytes the streams under way may hold, in all and of one owner.

A response that nobody takes keeps what it is made from for minutes. The number of streams alone does not
bound that: a model may be 26 MB, and the labels of a large table a hundred.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.core.datasets import ColumnKind, Dataset
from services.core.errors import LimitExceeded
from services.core.jobs import JobSpec
from services.core.tasks import TaskKey

__all__ = ["Memory", "label_bytes", "model_bytes", "table_bytes"]

_DEFAULT_WAIT_SECONDS = 10.0
_RETRY_SECONDS = 10
_LOOK_SECONDS = 0.5
_NUMBER_BYTES = 8
# A covariance at hand, per number: in memory, as a list, as text, and as the text of the whole.
_WRITTEN_NUMBER_BYTES = 100
# What goes with any stream: the message on its way, and the one being made.
_STREAM_BYTES = 2 << 20
# A row group of a stored table: 16 MiB, and what was parsed with the row that made them full.
_ROW_GROUP_BYTES = 24 << 20


class Memory:
    """A bound on bytes; who does not fit waits for a while."""

    def __init__(
        self, size_bytes: int, owner_bytes: int, *, wait_seconds: float = _DEFAULT_WAIT_SECONDS
    ) -> None:
        """Allow `size_bytes` in all, and of them `owner_bytes` to one owner."""
        self._size_bytes = size_bytes
        self._owner_bytes = owner_bytes
        self._wait_seconds = wait_seconds
        self._freed = threading.Condition()
        self._held = Counter[str]()

    @contextmanager
    def hold(self, owner: str, size_bytes: int, check: Callable[[], None]) -> Iterator[None]:
        """Hold so many bytes. What is larger than one may hold is let in while its owner holds nothing.

        Args:
            owner: whose stream it is.
            size_bytes: what it holds at most.
            check: called while it waits; ends the waiting by raising.

        Raises:
            LimitExceeded: they are not free in time (`TOO_MUCH_IN_MEMORY`).
        """
        counted = min(size_bytes, self._owner_bytes, self._size_bytes)
        end = time.monotonic() + self._wait_seconds
        while not self._taken(owner, counted, end):
            check()
            if time.monotonic() >= end:
                raise LimitExceeded(
                    "The downloads and predictions under way at this gateway hold as much memory as they "
                    "may, and none ended in time. Take what you have begun to download, or ask again.",
                    "TOO_MUCH_IN_MEMORY",
                    {"size_bytes": str(size_bytes), "limit_bytes": str(self._size_bytes)},
                    retry_seconds=_RETRY_SECONDS,
                )
        try:
            yield
        finally:
            with self._freed:
                self._held[owner] -= counted
                if not self._held[owner]:
                    del self._held[owner]
                self._freed.notify_all()

    def _taken(self, owner: str, counted: int, end: float) -> bool:
        with self._freed:
            if not self._freed.wait_for(
                lambda: self._fits(owner, counted), max(0.0, min(_LOOK_SECONDS, end - time.monotonic()))
            ):
                return False
            self._held[owner] += counted
            return True

    def _fits(self, owner: str, counted: int) -> bool:
        return (
            self._held[owner] + counted <= self._owner_bytes
            and self._held.total() + counted <= self._size_bytes
        )


def model_bytes(spec: JobSpec, key: TaskKey) -> int:
    """What a stream holds that is made from a task's model, written out or at work."""
    return (key.k * _NUMBER_BYTES + _WRITTEN_NUMBER_BYTES) * len(spec.columns) ** 2 + _STREAM_BYTES


def label_bytes(row_count: int) -> int:
    """What a stream of labels holds: a byte a row."""
    return row_count + _STREAM_BYTES


def table_bytes(dataset: Dataset) -> int:
    """What a stream of a stored table holds besides: a row group; how long texts are is not known before."""
    if any(column.kind is ColumnKind.TEXT for column in dataset.columns):
        return _ROW_GROUP_BYTES
    return min(dataset.row_count * len(dataset.columns) * _NUMBER_BYTES, _ROW_GROUP_BYTES)
