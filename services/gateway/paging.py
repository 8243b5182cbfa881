"""Answers that must fit into one message."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message

from services.core.pages import Page, PageRequest

__all__ = ["MAX_MESSAGE_BYTES", "fit_message", "fit_page"]

MAX_MESSAGE_BYTES = 4 << 20

# Read from the store at once: a thousand wide datasets would take hundreds of megabytes.
_STEP = 50
# What an item has in its list besides itself, and the token of the next page.
_ITEM_BYTES = 8
_TOKEN_BYTES = 2048

M = TypeVar("M", bound=Message)
T = TypeVar("T")


def fit_page(
    fetch: Callable[[PageRequest], Page[T]],
    convert: Callable[[T], M],
    page_size: int,
    page_token: str,
    *,
    listing: object,
) -> tuple[list[M], str]:
    """Messages of a page and the token of the next: as many as asked, or as fit into one message.

    They are read in small steps, so that what would not fit is not in memory. Raises as `PageRequest.parse`.
    """
    asked = PageRequest.parse(page_size, page_token, listing=listing)
    messages: list[M] = []
    room, step, token = MAX_MESSAGE_BYTES - _TOKEN_BYTES, _STEP, page_token
    while True:
        size = min(step, asked.size - len(messages))
        page = fetch(PageRequest.parse(size, token, listing=listing))
        found = [convert(item) for item in page.items]
        needed = sum(message.ByteSize() + _ITEM_BYTES for message in found)
        if needed > room and (messages or len(found) > 1):
            if size == 1:
                return messages, token
            step = size // 2
            continue
        messages += found
        room -= needed
        token = page.next_token
        if not token or len(messages) == asked.size:
            return messages, token


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
