"""Damaged records: what reading one raises, and listings that outlive it for the sake of all others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import structlog

from services.core.errors import DataLoss

__all__ = ["read_sound", "reading"]

T = TypeVar("T")
Record = TypeVar("Record")

_log = structlog.get_logger(__name__)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """DataLoss (`RECORD_DAMAGED`) in place of what goes wrong while a damaged record is read."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise DataLoss(
            f"The stored {what} cannot be read ({error}). Restore the job store from a backup.",
            "RECORD_DAMAGED",
        ) from error


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
