"""Which columns a job can cluster on, which are chosen at first, and why the others are not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kmeans.v1 import dataset_pb2

from ui.words import count

__all__ = ["ColumnChoice", "choose_columns", "coordinates_sentence", "kind_word"]

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


def choose_columns(columns: Iterable[dataset_pb2.Column]) -> list[ColumnChoice]:
    """One choice per column, in the order of the table."""
    return [_choice(column) for column in columns]


def coordinates_sentence(columns: Iterable[dataset_pb2.Column]) -> str:
    """Why longitude and latitude are not chosen; empty when the table has none."""
    names = [column.name for column in columns if column.role in _COORDINATES]
    if not names:
        return ""
    are = "is" if len(names) == 1 else "are"
    return (
        f"{' and '.join(names)} {are} left out: where a row was measured is not what was measured, and "
        "with it the clusters would be patches of the map. The report draws them on a map instead. Add them "
        "if places are what you want to group."
    )


def kind_word(column: dataset_pb2.Column) -> str:
    """`number`, `text`, or `coordinate`."""
    if column.kind != dataset_pb2.COLUMN_KIND_NUMERIC:
        return "text"
    return "coordinate" if column.role in _COORDINATES else "number"


def _choice(column: dataset_pb2.Column) -> ColumnChoice:
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
        return ColumnChoice(name, True, False, "Left out at first: used for the map.")
    if column.missing_count:
        return ColumnChoice(
            name, True, True, f"{count(column.missing_count, 'row')} without it will be left out."
        )
    return ColumnChoice(name, True, True, "")
