"""Where a page begins: filters that hold for what comes behind a sort key."""

from __future__ import annotations

from typing import Any

from bson.datetime_ms import DatetimeMS
from pymongo import ASCENDING, DESCENDING

from services.backends.documents import Document
from services.backends.mongodb.records import to_millis
from services.backends.sort_keys import read_sort_key
from services.core.datasets import Dataset
from services.core.jobs import Job
from services.core.pages import PageRequest

__all__ = ["NEWEST_FIRST", "behind", "behind_newest", "newest_sort_key"]

NEWEST_FIRST = [("created_at", DESCENDING), ("_id", DESCENDING)]


def behind(*fields: tuple[str, int, Any]) -> Document:
    """What follows the document with these values in the order of (name, direction, value)."""
    branches, equal = list[Document](), Document()
    for name, direction, value in fields:
        comparison = "$gt" if direction == ASCENDING else "$lt"
        branches.append({**equal, name: {comparison: value}})
        equal[name] = value
    return {"$or": branches}


def newest_sort_key(item: Dataset | Job) -> tuple[int, str]:
    """What a page token carries in a listing by `NEWEST_FIRST`."""
    return to_millis(item.created_at), item.id


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
