"""Answers that must fit into one message."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message

__all__ = ["MAX_MESSAGE_BYTES", "fit_message"]

MAX_MESSAGE_BYTES = 4 << 20

M = TypeVar("M", bound=Message)


def fit_message(build: Callable[[int], M | None], size: int) -> M:
    """The answer with `size` items, or with fewer when they would not fit into one message.

    A thousand datasets of 256 columns do not; the caller then gets a shorter page and its token. `build`
    returns None where it sees by itself that so many do not fit, which one always does.
    """
    while True:
        message = build(size)
        if message is not None and (size <= 1 or message.ByteSize() <= MAX_MESSAGE_BYTES):
            return message
        size = max(1, size // 2)
