"""Listings that outlive a damaged record: it is told in the log and left out, for the sake of all others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import structlog

from services.core.errors import DataLoss

__all__ = ["read_sound"]

T = TypeVar("T")
Record = TypeVar("Record")

_log = structlog.get_logger(__name__)


def read_sound(
    records: Iterable[Record], read: Callable[[Record], T], id_of: Callable[[Record], object]
) -> tuple[T, ...]:
    """The values of the records that `read` can read; each it raises DataLoss for is an error in the log."""
    values = []
    for record in records:
        try:
            values.append(read(record))
        except DataLoss as error:
            _log.error(
                "damaged record left out of a listing",
                id=id_of(record),
                reason=error.reason,
                why=str(error),
            )
    return tuple(values)
