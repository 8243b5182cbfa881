"""Slots: how many calls of one kind may hold a thread at once, in all and of one owner."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from services.core.errors import LimitExceeded

__all__ = ["Slots", "share_of"]

_RETRY_SECONDS = 5


def share_of(count: int, *, is_shared: bool) -> int:
    """How many of so many slots one owner may have: half of them where there are several owners."""
    return max(1, count // 2) if is_shared else count


class Slots:
    """A bound on calls that keep a thread for as long as their client likes.

    Without it, that many watchers would leave no thread for anybody else, health excepted; and without a
    bound on those of one owner, one owner would leave none for the others.
    """

    def __init__(
        self,
        kind: str,
        count: int,
        setting: str,
        *,
        per_owner: int | None = None,
        reason: str,
    ) -> None:
        """Allow `count` calls at once; the refusal names `kind`, a plural, and the setting to raise.

        Args:
            kind: what the calls are.
            count: how many in all.
            setting: which environment variable that is.
            per_owner: how many of them one owner may have; all when not given.
            reason: of a refusal.
        """
        self._kind = kind
        self._setting = setting
        self._count = count
        self._per_owner = count if per_owner is None else per_owner
        self._reason = reason
        self._lock = threading.Lock()
        self._taken = Counter[str]()

    @contextmanager
    def take(self, owner: str = "") -> Iterator[None]:
        """Hold one slot for this owner; LimitExceeded (the `reason`) at once when there is none for it."""
        with self._lock:
            if self._per_owner < self._count and self._taken[owner] >= self._per_owner:
                raise self._refusal(
                    f"You have {self._per_owner} {self._kind} under way, and may have no more at this "
                    "gateway at once. Wait until one has ended.",
                    self._per_owner,
                    f"owner:{owner}",
                )
            if self._taken.total() >= self._count:
                raise self._refusal(
                    f"This gateway serves {self._count} {self._kind} at once, and all are taken. "
                    f"Try again later, or raise {self._setting}.",
                    self._count,
                    "",
                )
            self._taken[owner] += 1
        try:
            yield
        finally:
            with self._lock:
                self._taken[owner] -= 1
                if not self._taken[owner]:
                    del self._taken[owner]

    def _refusal(self, sentence: str, limit: int, subject: str) -> LimitExceeded:
        return LimitExceeded(
            sentence,
            self._reason,
            {"kind": self._kind, "limit": str(limit)},
            subject=subject,
            retry_seconds=_RETRY_SECONDS,
        )
