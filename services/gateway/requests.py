"""Requests as they come over the wire, which need not be what they should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.message import DecodeError

from services.core.errors import InvalidInput

__all__ = ["readable", "tolerant"]


class _Unreadable:
    """Stands for bytes that are no message: gRPC itself would call them a mistake of the server."""


def tolerant(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """The deserializer, giving something that `readable` refuses in place of raising."""
    if deserialize is None:
        return None

    def read(content: bytes) -> Any:
        try:
            return deserialize(content)
        except DecodeError:
            return _Unreadable()

    return read


def readable(request: Any) -> Any:
    """The request, or for a stream its requests as they are taken.

    Raises:
        InvalidInput: it is no message of the method's type (`REQUEST_NOT_READABLE`).
    """
    return _each(request) if isinstance(request, Iterator) else _one(request)


def _each(requests: Iterator[Any]) -> Iterator[Any]:
    for request in requests:
        yield _one(request)


def _one(request: Any) -> Any:
    if isinstance(request, _Unreadable):
        raise InvalidInput(
            "The request is not a message of the type that this method takes. Generate the client's code "
            "from the service's current proto files.",
            "REQUEST_NOT_READABLE",
        )
    return request
