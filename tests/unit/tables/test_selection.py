from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pytest

from services.core.errors import DataLoss, InvalidInput
from services.tables import Selection, profile_selection

Store = Callable[..., BinaryIO]
NAN = float("nan")


@pytest.mark.parametrize("group_rows", [1, 2, 100])
def test_counts_are_exact(store: Store, group_rows: int) -> None:
    source = store(
        {"a": [1.0, 2.0, NAN, 4.0], "b": [5.0, 5.0, 6.0, NAN], "c": [0.1, 0.1, 0.1, 0.1], "t": list("wxyz")},
        group_rows=group_rows,
    )
    assert profile_selection(source, ["a"]) == Selection(4, 3, ())
    # b varies in the table, and not in the rows where a is known too.
    assert profile_selection(source, ["c", "a", "b"]) == Selection(4, 2, ("c", "b"))
    assert profile_selection(source, ["b"]) == Selection(4, 3, ())


def test_without_complete_rows_nothing_is_called_constant(store: Store) -> None:
    source = store({"a": [1.0, NAN], "b": [NAN, 2.0]})
    assert profile_selection(source, ["a", "b"]) == Selection(2, 0, ())


def test_a_column_named_like_the_beginning_of_another(store: Store) -> None:
    source = store({"a": [1.0, 2.0], "a.b": [3.0, NAN], "a.b.c": [5.0, 5.0]})
    assert profile_selection(source, ["a.b"]) == Selection(2, 1, ("a.b",))
    assert profile_selection(source, ["a"]) == Selection(2, 2, ())


@pytest.mark.parametrize(
    ("columns", "reason", "part"),
    [
        ([], "NO_COLUMNS", "choose at least one"),
        (["z"], "UNKNOWN_COLUMN", "'a', 't'"),
        (["t"], "TEXT_COLUMN", "'t' is not numeric"),
        (["a", "a"], "REPEATED_COLUMN", "more than once"),
    ],
)
def test_wrong_columns_are_refused(store: Store, columns: list[str], reason: str, part: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        profile_selection(store({"a": [1.0], "t": ["x"]}), columns)
    assert caught.value.reason == reason
    assert part in caught.value.message


def test_many_columns_are_not_all_named(store: Store) -> None:
    with pytest.raises(InvalidInput, match="and 5 more"):
        profile_selection(store({f"c{i}": [1.0] for i in range(25)}), ["z"])


@pytest.mark.parametrize("damage", [slice(0, 0), slice(0, 40), slice(0, -9)])
def test_damaged_bytes_are_data_loss(store: Store, damage: slice) -> None:
    data = store({"a": np.arange(1000.0)}).read(-1)
    with pytest.raises(DataLoss):
        profile_selection(io.BytesIO(data[damage]), ["a"])


def test_damaged_pages_are_data_loss(store: Store) -> None:
    source = store({"a": pa.array(np.arange(1000.0))})
    source.seek(4)
    source.write(b"\xff" * 3000)
    with pytest.raises(DataLoss):
        profile_selection(source, ["a"])


def test_each_row_group_is_read_in_a_turn_and_reading_ends_where_that_raises(store: Store) -> None:
    source = store({"a": [3.0, NAN, 1.0, 2.0, 5.0]}, group_rows=2)
    turns = []

    @contextmanager
    def turn() -> Iterator[None]:
        turns.append(1)
        if len(turns) == 5:
            raise ConnectionError
        yield

    assert profile_selection(source, ["a"], turn=turn) == Selection(5, 4, ())
    assert len(turns) == 3
    with pytest.raises(ConnectionError):
        profile_selection(source, ["a"], turn=turn)
