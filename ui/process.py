"""The dashboard's own process: Streamlit, until it is told to end or whoever started it is gone.

Run as `python -m ui.process FLAGS` by `ui.server`, which holds the other end of its standard input.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import BinaryIO

__all__ = ["main"]


def main(flags: list[str]) -> None:
    """Run Streamlit with these flags; never returns."""
    # The parent never writes: the end of the pipe is the end of the parent, however it died.
    threading.Thread(target=_end_with, args=(sys.stdin.buffer,), name="parent", daemon=True).start()
    from streamlit.web import cli

    cli.main(["run", str(Path(__file__).with_name("app.py")), *flags], prog_name="streamlit")


def _end_with(pipe: BinaryIO) -> None:
    pipe.read()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
