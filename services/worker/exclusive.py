"""A gate for bundles: most run beside each other, one that may end its process runs by itself.

What dies with a process counts as lost for all that ran in it, so what is suspected must have no company.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Gate"]


class Gate:
    """Whoever comes to it enters in the order of coming, so that nobody waits for ever."""

    def __init__(self) -> None:
        """An open gate with nobody inside."""
        self._changed = threading.Condition()
        self._line: list[object] = []
        self._inside = 0
        self._is_exclusive = False
        self._is_closed = False

    @contextmanager
    def enter(self, *, alone: bool) -> Iterator[bool]:
        """Wait for one's turn; inside the block is who entered, `alone` without anybody else.

        Gives False, and at once, when the gate is closed: who waited has not entered then.
        """
        has_entered = self._enter(alone)
        try:
            yield has_entered
        finally:
            if has_entered:
                self._leave()

    def close(self) -> None:
        """Let nobody in any more and send away who waits; who is inside stays. Idempotent."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _enter(self, alone: bool) -> bool:
        me = object()
        with self._changed:
            self._line.append(me)
            self._changed.wait_for(lambda: self._is_closed or self._may_enter(me, alone))
            self._line.remove(me)
            # The next in line may be let in as well, or instead.
            self._changed.notify_all()
            if self._is_closed:
                return False
            self._inside += 1
            self._is_exclusive = alone
            return True

    def _may_enter(self, me: object, alone: bool) -> bool:
        if self._line[0] is not me:
            return False
        return not self._inside if alone else not self._is_exclusive

    def _leave(self) -> None:
        with self._changed:
            self._inside -= 1
            self._is_exclusive = False
            self._changed.notify_all()
