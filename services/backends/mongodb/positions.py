"""Where a page begins: filters that hold for what comes behind a sort key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, TypeVar

from bson.datetime_ms import DatetimeMS
from pymongo import ASCENDING, DESCENDING

from services.backends.documents import Document
from services.backends.mongodb.records import to_millis
from services.backends.sort_keys import read_sort_key
from services.backends.sound import read_sound
from services.core.pages import Page, PageRequest

__all__ = ["NEWEST_FIRST", "behind", "behind_newest", "newest_page"]

T = TypeVar("T")

NEWEST_FIRST = [("created_at", DESCENDING), ("_id", DESCENDING)]


def behind(*fields: tuple[str, int, Any]) -> Document:
    """What follows the document with these values in the order of (name, direction, value)."""
    branches, equal = list[Document](), Document()
    for name, direction, value in fields:
        comparison = "$gt" if direction == ASCENDING else "$lt"
        branches.append({**equal, name: {comparison: value}})
        equal[name] = value
    return {"$or": branches}


def newest_page(records: Sequence[Document], page: PageRequest, read: Callable[[Document], T]) -> Page[T]:
    """The page that these records make: one more than its size, by `NEWEST_FIRST`, when there is another."""
    shown = records[: page.size]
    items = read_sound(shown, read, itemgetter("_id"))
    if len(records) <= page.size:
        return Page(items)
    # From the record, not the last item: the record may be damaged, the page empty.
    created_at, id_ = shown[-1].get("created_at"), shown[-1]["_id"]
    if not isinstance(created_at, datetime) or not isinstance(id_, str):
        # MongoDB sorts what is not a date behind all dates: only records as damaged as this one follow.
        return Page(items)
    return Page(items, page.token_after((to_millis(created_at), id_)))


def behind_newest(page: PageRequest) -> Document:
    """The filter of a page by `NEWEST_FIRST`; InvalidInput (`BAD_PAGE_TOKEN`) for a forged token."""
    after = read_sort_key(page, int, str)
    if after is None:
        return {}
    millis, id_ = after
    # Not a datetime: a forged number may be a date that Python does not know.
    return behind(
        ("created_at", DESCENDING, DatetimeMS(int(millis))),
        ("_id", DESCENDING, id_),
    )
