"""Listings that outlive a damaged row: it is told in the log and left out, for the sake of all others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import structlog

from services.backends.sqlite.database import Row
from services.core.errors import DataLoss

__all__ = ["read_sound"]

T = TypeVar("T")

_log = structlog.get_logger(__name__)


def read_sound(rows: Iterable[Row], read: Callable[[Row], T]) -> tuple[T, ...]:
    """The values of the rows that `read` can read; each it raises DataLoss for is an error in the log."""
    values = []
    for row in rows:
        try:
            values.append(read(row))
        except DataLoss as error:
            _log.error("damaged record left out of a listing", id=row[0], reason=error.reason, why=str(error))
    return tuple(values)
