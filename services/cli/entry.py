"""The console script's first lines: signals before anything heavy, and an exit code for every end."""

from __future__ import annotations

import os
import sys

from services.cli.signals import Interrupted, raise_on_signals

__all__ = ["run"]


def run() -> None:
    """Run the command line; exit 0 done, 1 failed, 2 bad input, 3 unreachable, 128 + signal."""
    raise_on_signals()
    _open_closed_streams()
    try:
        # Imported late: a signal that comes while it loads is no traceback.
        from services.cli.exit_codes import failure
        from services.cli.logs import configure_logs
        from services.cli.main import app

        configure_logs("warning", "text")
        try:
            app()
        except Exception as error:
            told = failure(error)
            if told is None:
                raise
            message, code = told
            print(f"kmeans-service: {message}", file=sys.stderr)
            sys.exit(code)
    except Interrupted as signalled:
        sys.exit(signalled.exit_code)


def _open_closed_streams() -> None:
    """Give programs started with `>&-` something to write to."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - for the rest of the process
