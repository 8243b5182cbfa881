"""Where commands write: results to stdout, everything else to stderr."""

from __future__ import annotations

import sys

from rich.console import Console

__all__ = ["consoles"]

# Wide enough for every table; a pipe has no width of its own.
_PIPE_WIDTH = 140


def consoles() -> tuple[Console, Console]:
    """(stdout, stderr), plain text where they are not a terminal."""
    return (
        Console(file=sys.stdout, width=None if sys.stdout.isatty() else _PIPE_WIDTH),
        Console(file=sys.stderr, width=None if sys.stderr.isatty() else _PIPE_WIDTH),
    )
