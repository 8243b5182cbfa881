"""Opens the backend that a URL names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from services.backends.directory import DirectoryObjects
from services.backends.memory_queue import MemoryQueue
from services.backends.sqlite import SqliteStore
from services.core.errors import InvalidInput
from services.core.ports import ObjectStore, Store, TaskQueue

__all__ = ["open_objects", "open_queue", "open_store"]

T = TypeVar("T")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,15}")


def open_store(url: str) -> Store:
    """Open the job store at `sqlite:///absolute/path`.

    Raises InvalidInput (`BAD_BACKEND_URL`) for another URL, StoreUnavailable when it does not open.
    """
    return _open("job store", url, _STORES)


def open_queue(url: str) -> TaskQueue:
    """Open the task queue at `memory://`: a new one, empty, at every call.

    Raises InvalidInput (`BAD_BACKEND_URL`) for another URL, QueueUnavailable when it does not open.
    """
    return _open("task queue", url, _QUEUES)


def open_objects(url: str) -> ObjectStore:
    """Open the object store at `file:///absolute/path`.

    Raises InvalidInput (`BAD_BACKEND_URL`) for another URL, ObjectsUnavailable when it does not open.
    """
    return _open("object store", url, _OBJECTS)


def _open(what: str, url: str, openers: Mapping[str, Callable[[str], T]]) -> T:
    # The URL itself is never shown: it may hold a password.
    scheme, separator, _ = url.partition("://")
    opener = openers.get(scheme.lower())
    if not separator or opener is None:
        accepted = ", ".join(f"{scheme}://" for scheme in openers)
        named = f"{scheme}://" if separator and _SCHEME.fullmatch(scheme) else "no scheme"
        raise _bad_url(f"The URL of the {what} has {named}; it must begin with one of: {accepted}.")
    return opener(url)


def _local_path(url: str) -> Path:
    """The path of `scheme:///path`, percent-decoded."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _bad_url("The URL of a local backend cannot be read.") from error
    if parts.netloc or parts.query or parts.fragment or parts.path in {"", "/"}:
        raise _bad_url(_local_complaint(parts))
    return Path("/", unquote(parts.path).lstrip("/"))


def _local_complaint(parts: SplitResult) -> str:
    return (
        f"A {parts.scheme}:// URL is written {parts.scheme}:///absolute/path, with three slashes and "
        "with %3F for ? and %23 for # in it."
    )


def _not_built(scheme: str) -> Callable[[str], NoReturn]:
    def refuse(url: str) -> NoReturn:
        raise InvalidInput(f"{scheme}:// is not built yet.", "BACKEND_NOT_BUILT")

    return refuse


def _bad_url(message: str) -> InvalidInput:
    return InvalidInput(message, "BAD_BACKEND_URL")


_STORES: Mapping[str, Callable[[str], Store]] = {
    "sqlite": lambda url: SqliteStore(_local_path(url)),
    "mongodb": _not_built("mongodb"),
}
_QUEUES: Mapping[str, Callable[[str], TaskQueue]] = {
    "memory": lambda url: MemoryQueue(),
    "amqp": _not_built("amqp"),
    "amqps": _not_built("amqps"),
}
_OBJECTS: Mapping[str, Callable[[str], ObjectStore]] = {
    "file": lambda url: DirectoryObjects(_local_path(url)),
    "s3": _not_built("s3"),
}
