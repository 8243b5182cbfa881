"""promtool, Prometheus's own judge of rules and queries: the machine's, else that of the Debian package."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.servers.debian import unpack_package
from tests.servers.state import locked

__all__ = ["provide_promtool"]

_UNPACKED = Path(__file__).parents[2] / ".servers" / "prometheus"


def provide_promtool() -> str:
    """The path of the program; ServerMissing when there is none and it cannot be had."""
    if (found := shutil.which("promtool")) is not None:
        return found
    with locked(_UNPACKED.with_suffix(".lock")):
        # The program is linked whole; what the package depends on are pages for browsers.
        folder = unpack_package("prometheus", _UNPACKED, is_alone=True)
    return str(folder / "usr" / "bin" / "promtool")
