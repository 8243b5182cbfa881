"""Server programs that `requirements/servers.txt` brings into the virtual environment."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.servers.server import ServerMissing

__all__ = ["installed_program"]


def installed_program(name: str) -> str:
    """The path of a program beside this interpreter; ServerMissing when it is not there."""
    path = Path(sys.prefix) / "bin" / name
    if not path.exists():
        raise ServerMissing(
            f"{name} is not installed in {sys.prefix}. Install the servers with: make servers"
        )
    return str(path)
