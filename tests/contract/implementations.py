"""Who must pass these suites. A new backend is one more entry here.

An implementation that needs a server names the environment variable with the server's URL. Without it
its tests are skipped at home and fail in CI, where a missing server is a mistake.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import pytest

from services.backends.directory import DirectoryObjects
from services.backends.memory_queue import MemoryQueue
from services.backends.sqlite import SqliteStore
from services.core.ports import ObjectStore, Store, TaskQueue

T = TypeVar("T")


@dataclass(frozen=True)
class Implementation(Generic[T]):
    """One backend under test.

    Attributes:
        open: given an empty folder of this test alone. Opened twice with the same folder, both must
            meet in the same place, as two processes would; a server derives a name from the folder's.
        server: the environment variable with the URL of a real server, or "" when none is needed.
    """

    name: str
    open: Callable[[Path], T]
    server: str = ""

    def check_server(self) -> None:
        """Skip, or in CI fail, without the server."""
        if self.server and not os.environ.get(self.server):
            complaint = f"{self.name} needs a server: set {self.server}"
            if os.environ.get("CI"):
                pytest.fail(complaint)
            pytest.skip(complaint)


STORES: list[Implementation[Store]] = [
    Implementation("sqlite", lambda folder: SqliteStore(folder / "store" / "jobs.sqlite")),
]
QUEUES: list[Implementation[TaskQueue]] = [
    Implementation("memory", lambda folder: MemoryQueue()),
]
OBJECT_STORES: list[Implementation[ObjectStore]] = [
    Implementation("directory", lambda folder: DirectoryObjects(folder / "objects")),
]
