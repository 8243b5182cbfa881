"""What is remembered of a server between commands: its ports and the processes that were started."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from tests.servers.process import ServerProcess

__all__ = ["ServerState", "locked", "read_state", "write_state"]


@dataclass(frozen=True, slots=True)
class ServerState:
    """One server: its ports by purpose and its processes by name, in the order they were started."""

    ports: Mapping[str, int] = field(default_factory=dict)
    processes: dict[str, ServerProcess] = field(default_factory=dict)


def read_state(path: Path) -> ServerState:
    """The state in this file; an empty one when there is none."""
    try:
        stored = json.loads(path.read_text())
    except FileNotFoundError:
        return ServerState()
    return ServerState(
        stored["ports"], {name: ServerProcess(**process) for name, process in stored["processes"].items()}
    )


def write_state(path: Path, state: ServerState) -> None:
    """Replace the file; a reader sees the old state or the new one."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(state), indent=2))
    partial.replace(path)


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[IO[str] | None]:
    """Hold a lock between processes; None when `wait` is off and another holds it.

    The system gives it up for a process that dies.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(file, kind | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield None
            return
        yield file
