"""Opens the backend that a URL names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import unquote

from services.backends.directory import DirectoryObjects
from services.backends.memory_queue import MemoryQueue
from services.backends.mongodb import MongoStore
from services.backends.rabbitmq import RabbitQueue
from services.backends.sqlite import SqliteStore
from services.core.errors import InvalidInput
from services.core.ports import ObjectStore, Store, TaskQueue
from services.core.settings import read_settings

__all__ = ["open_objects", "open_queue", "open_store"]

T = TypeVar("T")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,15}")


def open_store(url: str) -> Store:
    """Open the job store at `mongodb://host/database`, `mongodb+srv://…` or `sqlite:///absolute/path`.

    Raises InvalidInput (`BAD_BACKEND_URL`) for another URL, StoreUnavailable when it does not open.
    """
    return _opener("job store", url, _STORES)(url)


def open_queue(url: str, delivery_limit: int = 3) -> TaskQueue:
    """Open the task queue at `amqp[s]://…`, or at `memory://`: a new one, empty, at every call.

    A bundle that is rejected is delivered again at most `delivery_limit` times, then dead-lettered.
    Raises InvalidInput (`BAD_BACKEND_URL`) for another URL, QueueUnavailable when it does not open.
    """
    return _opener("task queue", url, _QUEUES)(url, delivery_limit)


def open_objects(url: str) -> ObjectStore:
    """Open the object store at `file:///absolute/path` or `s3://bucket/prefix`.

    The endpoint of an S3 server that is not AWS's is the setting `s3_endpoint_url`, read here.
    Raises InvalidInput (`BAD_BACKEND_URL`) for another URL, ObjectsUnavailable when it does not open.
    """
    return _opener("object store", url, _OBJECTS)(url)


def _opener(what: str, url: str, openers: Mapping[str, T]) -> T:
    # The URL itself is never shown: it may hold a password.
    scheme, separator, _ = url.partition("://")
    opener = openers.get(scheme.lower())
    if not separator or opener is None:
        accepted = ", ".join(f"{known}://" for known in openers)
        named = f"{scheme}://" if separator and _SCHEME.fullmatch(scheme) else "no scheme"
        raise _bad_url(f"The URL of the {what} has {named}; it must begin with one of: {accepted}.")
    return opener


def _local_path(url: str) -> Path:
    """The path of `scheme:///path`, percent-decoded. A `?` or `#` is part of it: files have no query."""
    scheme, _, path = url.partition("://")
    if not path.startswith("/") or not path.strip("/") or "\0" in unquote(path):
        raise _bad_url(f"A {scheme}:// URL is written {scheme}:///absolute/path, with three slashes.")
    return Path("/", unquote(path).lstrip("/"))


def _open_s3(url: str) -> ObjectStore:
    # boto3 takes long to import, and most who run the embedded service never need it.
    from services.backends.s3 import S3Objects

    endpoint_url = read_settings().s3_endpoint_url
    return S3Objects(url, None if endpoint_url is None else endpoint_url.get_secret_value())


def _not_built(scheme: str) -> Callable[..., NoReturn]:
    def refuse(*_arguments: object) -> NoReturn:
        raise InvalidInput(f"{scheme}:// is not built yet.", "BACKEND_NOT_BUILT")

    return refuse


def _bad_url(message: str) -> InvalidInput:
    return InvalidInput(message, "BAD_BACKEND_URL")


_STORES: Mapping[str, Callable[[str], Store]] = {
    "sqlite": lambda url: SqliteStore(_local_path(url)),
    "mongodb": MongoStore,
    "mongodb+srv": MongoStore,
}
_QUEUES: Mapping[str, Callable[[str, int], TaskQueue]] = {
    "memory": lambda url, delivery_limit: MemoryQueue(delivery_limit=delivery_limit),
    "amqp": lambda url, delivery_limit: RabbitQueue(url, delivery_limit=delivery_limit),
    "amqps": lambda url, delivery_limit: RabbitQueue(url, delivery_limit=delivery_limit),
}
_OBJECTS: Mapping[str, Callable[[str], ObjectStore]] = {
    "file": lambda url: DirectoryObjects(_local_path(url)),
    "s3": _open_s3,
}
