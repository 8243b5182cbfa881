"""Signals that end a command in order."""

from __future__ import annotations

import signal
from types import FrameType

__all__ = ["Interrupted", "raise_on_signals"]

_EXIT_SIGNAL = 128


class Interrupted(BaseException):
    """The user or the system asks the command to end; like KeyboardInterrupt, no ordinary error.

    Attributes:
        exit_code: 128 + the signal's number, as a shell reports it.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = _EXIT_SIGNAL + number


def raise_on_signals() -> None:
    """From now on SIGINT and SIGTERM raise Interrupted in the main thread; a second one is not waited for."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)
        raise Interrupted(number)

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, interrupt)
