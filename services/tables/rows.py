"""Rows of an upload, whatever its format: what the readers give and the parser takes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from services.core.datasets import TableFormat

__all__ = ["Rows"]


@dataclass(frozen=True, slots=True)
class Rows:
    """An upload whose header has been read.

    Attributes:
        format: how the bytes are written.
        names: of the columns, checked.
        decimal_mark: point or comma, for cells that are text.
        batches: starts over and yields Arrow record batches of bounded size, columns in order. All share
            one source, so each is closed before the next is begun.
    """

    format: TableFormat
    names: tuple[str, ...]
    decimal_mark: str
    batches: Callable[[], Generator[Any, None, None]]
