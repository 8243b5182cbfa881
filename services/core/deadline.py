"""The deadline of the call that this thread works for: no backend is waited for beyond it.

It travels in a context variable, and not as an argument: every port between the front door and a driver's
socket would have to hand it on, and the one that forgot would hold a thread for a client that has gone.
"""

from __future__ import annotations

import time
from contextvars import ContextVar

__all__ = ["at_most", "seconds_left", "set_deadline"]

# gRPC tells of a call without a deadline that it has centuries left, which no lock can wait.
_ENDLESS_SECONDS = 86_400.0

_ends_at: ContextVar[float | None] = ContextVar("deadline", default=None)


def set_deadline(seconds: float | None) -> None:
    """Say in how many seconds whoever asked will be gone; None, or more than a day,
    when they wait without end.

    Holds for this context until it is set again; each call of gRPC has a context of its own.
    """
    if seconds is None or seconds > _ENDLESS_SECONDS:
        _ends_at.set(None)
    else:
        _ends_at.set(time.monotonic() + seconds)


def seconds_left() -> float | None:
    """How long an answer is still wanted, 0 when it is not any more; None without a deadline."""
    ends_at = _ends_at.get()
    return None if ends_at is None else max(0.0, ends_at - time.monotonic())


def at_most(seconds: float) -> float:
    """These seconds, or what is left until the deadline where that is less."""
    left = seconds_left()
    return seconds if left is None else min(seconds, left)
