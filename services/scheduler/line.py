"""The line in which jobs wait for a turn of the scheduler: each at most once, first come first served."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Line"]


class Line:
    """Job ids in waiting order, without repeats. Not for use by several threads."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def join(self, job_ids: Iterable[str]) -> None:
        """Put these at the end; one that waits already keeps its place."""
        for job_id in job_ids:
            self._ids.setdefault(job_id)

    def first(self) -> str:
        """Whose turn it is. It keeps its place until `leave`, so that a failed turn loses nobody."""
        return next(iter(self._ids))

    def leave(self, job_id: str) -> None:
        """Take this one out; no error when it does not wait."""
        self._ids.pop(job_id, None)
