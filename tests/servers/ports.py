"""Free TCP ports on loopback, below the range that outgoing connections take theirs from."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence

__all__ = ["HOST", "choose_ports", "is_free"]

HOST = "127.0.0.1"

# Linux hands out 32768 and above: a port in that range could be taken while its server is down.
_FIRST, _LAST = 12000, 31999


def choose_ports(names: Sequence[str]) -> dict[str, int]:
    """A free port for each name, all different."""
    chosen: dict[str, int] = {}
    candidates = iter(random.SystemRandom().sample(range(_FIRST, _LAST + 1), 2000))
    for name in names:
        chosen[name] = next(port for port in candidates if is_free(port))
    return chosen


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
