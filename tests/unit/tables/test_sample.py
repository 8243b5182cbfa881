from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pytest

from services.core.errors import InvalidInput
from services.tables import SampleTooLarge, sample_table

Store = Callable[..., BinaryIO]


def test_a_small_table_is_returned_whole(store: Store) -> None:
    source = store({"a": [1.0, float("nan"), 3.0], "t": ["x", None, "y" * 100]}, group_rows=2)
    sample = sample_table(source, None, 10, seed=1)
    assert sample.rows.tolist() == [0, 1, 2]
    assert sample.row_count == 3
    a, t = sample.columns
    assert (a.name, t.name) == ("a", "t")
    np.testing.assert_array_equal(a.cells, [1.0, np.nan, 3.0])
    assert t.cells == ["x", "", "y" * 80]


@pytest.mark.parametrize("group_rows", [10, 333, 10_000])
def test_rows_and_cells_belong_together(store: Store, group_rows: int) -> None:
    n = 5000
    source = store(
        {"a": np.arange(n) * 1.5, "t": [f"w{i}" for i in range(n)], "b": -np.arange(n) * 1.0},
        group_rows=group_rows,
    )
    sample = sample_table(source, ["b", "t"], 100, seed=42)
    assert sample.rows.dtype == np.int64
    assert len(set(sample.rows.tolist())) == 100
    assert (np.diff(sample.rows) > 0).all()
    b, t = sample.columns
    np.testing.assert_array_equal(b.cells, -sample.rows)
    assert t.cells == [f"w{i}" for i in sample.rows]


def test_the_seed_decides(store: Store) -> None:
    source = store({"a": np.arange(1000.0)})
    first, again, other = (sample_table(source, None, 50, seed).rows.tolist() for seed in (5, 5, 2**64 - 1))
    assert first == again
    assert first != other


def test_every_row_is_as_likely(store: Store) -> None:
    source = store({"a": np.arange(20.0)}, group_rows=7)
    drawn = np.zeros(20)
    for seed in range(2000):
        drawn[sample_table(source, None, 5, seed).rows] += 1
    # 500 expected each; standard deviation sqrt(2000 * 1/4 * 3/4) = 19.4
    assert np.abs(drawn - 500).max() < 5 * 19.4


def test_columns_that_were_not_asked_for_are_not_read(store: Store) -> None:
    source = store({"a": np.arange(1000.0), "b": pa.array(np.random.default_rng(1).random(1000))})
    size = source.seek(0, 2)
    # b's pages lie between those of a and the footer.
    source.seek(size * 2 // 3)
    source.write(b"\xff" * 100)
    assert sample_table(source, ["a"], 1000, seed=0).columns[0].cells[-1] == 999.0


@pytest.mark.parametrize(
    ("columns", "max_rows", "seed"), [(["z"], 1, 0), (["a", "a"], 1, 0), (None, 0, 0), (None, 1, -1)]
)
def test_wrong_requests_are_refused(
    store: Store, columns: list[str] | None, max_rows: int, seed: int
) -> None:
    with pytest.raises(InvalidInput):
        sample_table(store({"a": [1.0]}), columns, max_rows, seed)


def test_an_empty_table(store: Store) -> None:
    sample = sample_table(
        store({"a": pa.array([], pa.float64()), "t": pa.array([], pa.string())}), None, 5, 0
    )
    assert sample.rows.size == 0
    assert [len(column.cells) for column in sample.columns] == [0, 0]


def test_of_long_texts_only_what_is_shown_is_kept(store: Store) -> None:
    """Of the row groups before, when the next one is read."""
    source = store({"t": ["é" * 50_000] * 200, "a": np.arange(200.0)}, group_rows=10)
    before, held = pa.total_allocated_bytes(), []

    @contextmanager
    def turn() -> Iterator[None]:
        held.append(pa.total_allocated_bytes() - before)
        yield

    sample = sample_table(source, None, 1000, 0, turn=turn)
    assert sample.columns[0].cells == ["é" * 80] * 200
    assert len(held) == 20
    assert max(held) < 200_000


def test_texts_that_have_no_room_are_not_read_to_the_end(store: Store) -> None:
    source = store({"a": np.arange(100.0), "t": ["é" * 100] * 100}, group_rows=10)
    groups = []

    @contextmanager
    def turn() -> Iterator[None]:
        groups.append(1)
        yield

    with pytest.raises(SampleTooLarge):
        sample_table(source, None, 100, 0, max_text_bytes=160 * 100 - 1, turn=turn)
    assert len(groups) == 10
    groups.clear()
    with pytest.raises(SampleTooLarge):
        sample_table(source, None, 100, 0, max_text_bytes=160 * 15, turn=turn)
    assert len(groups) == 2
    assert sample_table(source, None, 100, 0, max_text_bytes=160 * 100).rows.size == 100
    assert sample_table(source, ["a"], 100, 0, max_text_bytes=0).rows.size == 100
