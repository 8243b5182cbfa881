"""Who must pass these suites. A new backend is one more entry here.

An implementation that needs a server names the environment variable with the server's URL; a fixture of
`tests/servers` starts the server and sets it. Without a server its tests are skipped at home and fail in CI,
where a missing server is a mistake.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from pymongo import MongoClient

from services.backends.directory import DirectoryObjects
from services.backends.memory_queue import MemoryQueue
from services.backends.mongodb import MongoStore
from services.backends.open import open_objects
from services.backends.sqlite import SqliteStore
from services.core.ports import ObjectStore, Store, TaskQueue
from tests.contract.disposable import DisposableQueue
from tests.servers.mongodb import drop_database

T = TypeVar("T")


@dataclass(frozen=True)
class Implementation(Generic[T]):
    """One backend under test.

    Attributes:
        open: given an empty folder of this test alone. Opened twice with the same folder, both must
            meet in the same place, as two processes would; a server derives a name from the folder's.
        server: the environment variable with the URL of a real server, or "" when none is needed.
        forget: given the same folder when all are closed, removes what a server keeps of it.
        damage: of a store: given the same folder, "jobs" or "datasets" and an id, makes that record
            unreadable, behind the store's back.
    """

    name: str
    open: Callable[[Path], T]
    server: str = ""
    forget: Callable[[Path], None] = lambda folder: None
    damage: Callable[[Path, str, str], None] = lambda folder, kind, id_: None


def _mongodb_url(folder: Path) -> str:
    database = f"t-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    return urlsplit(os.environ["KMEANS_TEST_MONGODB_URL"])._replace(path=f"/{database}").geturl()


def _forget_mongodb(folder: Path) -> None:
    with MongoClient[dict[str, Any]](_mongodb_url(folder)) as client:
        drop_database(client, client.get_default_database().name)


def _damage_mongodb(folder: Path, kind: str, id_: str) -> None:
    with MongoClient[dict[str, Any]](_mongodb_url(folder)) as client:
        client.get_default_database()[kind].update_one(
            {"_id": id_}, {"$set": {{"jobs": "spec", "datasets": "columns"}[kind]: 7}}
        )


def _sqlite_path(folder: Path) -> Path:
    return folder / "store" / "jobs.sqlite"


def _damage_sqlite(folder: Path, kind: str, id_: str) -> None:
    column = {"jobs": "spec", "datasets": "document"}[kind]
    with closing(sqlite3.connect(_sqlite_path(folder), isolation_level=None)) as connection:
        connection.execute(f"UPDATE {kind} SET {column} = '{{' WHERE id = ?", (id_,))


def _open_rabbitmq(folder: Path) -> TaskQueue:
    prefix = f"t-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    return DisposableQueue(os.environ["KMEANS_TEST_RABBITMQ_URL"], prefix)


def _open_s3(folder: Path) -> ObjectStore:
    prefix = f"t-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    return open_objects(f"{os.environ['KMEANS_TEST_S3_URL']}/{prefix}")


def _forget_s3(folder: Path) -> None:
    with closing(_open_s3(folder)) as objects:
        for key in objects.list_keys("", datetime.max.replace(tzinfo=UTC)):
            objects.delete(key)


STORES: list[Implementation[Store]] = [
    Implementation("sqlite", lambda folder: SqliteStore(_sqlite_path(folder)), damage=_damage_sqlite),
    Implementation(
        "mongodb",
        lambda folder: MongoStore(_mongodb_url(folder)),
        server="KMEANS_TEST_MONGODB_URL",
        forget=_forget_mongodb,
        damage=_damage_mongodb,
    ),
]
QUEUES: list[Implementation[TaskQueue]] = [
    Implementation("memory", lambda folder: MemoryQueue()),
    Implementation("rabbitmq", _open_rabbitmq, server="KMEANS_TEST_RABBITMQ_URL"),
]
OBJECT_STORES: list[Implementation[ObjectStore]] = [
    Implementation("directory", lambda folder: DirectoryObjects(folder / "objects")),
    Implementation(
        "s3",
        _open_s3,
        server="KMEANS_TEST_S3_URL",
        forget=_forget_s3,
    ),
]
