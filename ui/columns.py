"""Which columns a job can cluster on, which are chosen at first, and why the others are not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from kmeans.v1 import dataset_pb2

from ui.words import count

__all__ = ["ColumnChoice", "choose_columns", "coordinates_sentence", "has_map", "kind_word"]

_COORDINATES = {dataset_pb2.COLUMN_ROLE_LONGITUDE, dataset_pb2.COLUMN_ROLE_LATITUDE}


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    """What the dashboard offers for one column.

    Attributes:
        name: of the column.
        is_choosable: whether a job can cluster on it at all.
        is_chosen: whether it is chosen until somebody says otherwise; the service's own default.
        note: why it is not chosen or not choosable, or what to know about it; else empty.
    """

    name: str
    is_choosable: bool
    is_chosen: bool
    note: str


def choose_columns(columns: Sequence[dataset_pb2.Column]) -> list[ColumnChoice]:
    """One choice per column, in the order of the table."""
    with_map = has_map(columns)
    return [_choice(column, with_map=with_map) for column in columns]


def coordinates_sentence(columns: Sequence[dataset_pb2.Column], chosen: Collection[str]) -> str:
    """Why longitude and latitude are not among the `chosen`; empty when none is left out."""
    names = [column.name for column in columns if _is_coordinate(column) and column.name not in chosen]
    if not names:
        return ""
    are, them = ("is", "it") if len(names) == 1 else ("are", "them")
    drawn = "The report draws the clusters on a map instead. " if has_map(columns) else ""
    return (
        f"{' and '.join(names)} {are} left out: where a row was measured is not what was measured, and "
        f"with it the clusters would be patches of the map. {drawn}Add {them} if places are what you want to "
        "group."
    )


def has_map(columns: Iterable[dataset_pb2.Column]) -> bool:
    """Whether a report of this table has a map: it needs numbers for longitude and for latitude."""
    return {column.role for column in columns if _is_coordinate(column)} == _COORDINATES


def _is_coordinate(column: dataset_pb2.Column) -> bool:
    is_number = column.kind == dataset_pb2.COLUMN_KIND_NUMERIC and column.HasField("statistics")
    return is_number and column.role in _COORDINATES


def kind_word(column: dataset_pb2.Column) -> str:
    """`number`, `text`, or `coordinate`."""
    if column.kind != dataset_pb2.COLUMN_KIND_NUMERIC:
        return "text"
    return "coordinate" if column.role in _COORDINATES else "number"


def _choice(column: dataset_pb2.Column, *, with_map: bool) -> ColumnChoice:
    name = column.name
    if column.kind != dataset_pb2.COLUMN_KIND_NUMERIC:
        where = f": row {column.text_row} holds “{column.text_value}”" if column.text_row else ""
        return ColumnChoice(name, False, False, f"Not choosable, it is text{where}.")
    if not column.HasField("statistics"):
        return ColumnChoice(name, False, False, "Not choosable, it is empty.")
    if column.statistics.minimum == column.statistics.maximum:
        value = f"{column.statistics.minimum:g}"
        return ColumnChoice(
            name, False, False, f"Not choosable, every row holds {value}: it cannot tell rows apart."
        )
    if column.role in _COORDINATES:
        note = "Left out at first: used for the map." if with_map else "Left out at first: a place."
        return ColumnChoice(name, True, False, note)
    if column.missing_count:
        return ColumnChoice(
            name, True, True, f"{count(column.missing_count, 'row')} without it will be left out."
        )
    return ColumnChoice(name, True, True, "")
