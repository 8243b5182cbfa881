from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

import numpy as np
import pytest

from services.core.errors import InvalidInput
from services.tables import load_matrix

Store = Callable[..., BinaryIO]
NAN = float("nan")


def test_complete_rows_in_the_order_asked_for(store: Store) -> None:
    source = store({"a": [1.0, NAN, 3.0, 4.0], "t": list("wxyz"), "b": [5.0, 6.0, NAN, 8.0]}, group_rows=3)
    matrix = load_matrix(source, ["b", "a"], scale=False)
    assert matrix.values.tolist() == [[5.0, 1.0], [8.0, 4.0]]
    assert matrix.values.flags.c_contiguous
    assert matrix.values.dtype == np.float64
    assert matrix.rows.tolist() == [0, 3]
    assert matrix.rows.dtype == np.int64
    assert matrix.row_count == 4
    assert matrix.offset.tolist() == [0.0, 0.0]
    assert matrix.spread.tolist() == [1.0, 1.0]


def test_scaling_over_the_complete_rows(store: Store) -> None:
    rng = np.random.default_rng(7)
    data = rng.lognormal(1.0, [0.5, 1.0, 2.0], size=(40_000, 3))
    data += [0.0, 1e6, -1e3]
    data[rng.random(data.shape) < 0.05] = NAN
    source = store({name: data[:, i] for i, name in enumerate("abc")}, group_rows=1_000)
    matrix = load_matrix(source, ["a", "b", "c"], scale=True)
    complete = data[~np.isnan(data).any(axis=1)]
    np.testing.assert_allclose(matrix.offset, complete.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(matrix.spread, complete.std(axis=0), rtol=1e-11)
    np.testing.assert_array_equal(matrix.values, (complete - matrix.offset) / matrix.spread)
    np.testing.assert_allclose(matrix.values.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(matrix.values.std(axis=0), 1.0, rtol=1e-12)


@pytest.mark.parametrize("scale", [False, True])
def test_row_groups_change_no_bit(store: Store, scale: bool) -> None:
    rng = np.random.default_rng(8)
    columns = {"a": rng.normal(1e3, 1, 50_000), "b": rng.normal(size=50_000)}
    loaded = [
        load_matrix(store(columns, group_rows=size), ["a", "b"], scale=scale)
        for size in (999, 1 << 14, 50_000)
    ]
    for other in loaded[1:]:
        assert other.values.tobytes() == loaded[0].values.tobytes()
        assert other.offset.tobytes() == loaded[0].offset.tobytes()
        assert other.spread.tobytes() == loaded[0].spread.tobytes()


@pytest.mark.parametrize("unit", [1e-300, 1e-100, 1e100])
def test_neither_tiny_nor_huge_units_are_lost(store: Store, unit: float) -> None:
    matrix = load_matrix(store({"a": np.array([1.0, 2.0, 3.0]) * unit}), ["a"], scale=True)
    np.testing.assert_allclose(matrix.values[:, 0], [-np.sqrt(1.5), 0.0, np.sqrt(1.5)], atol=1e-15)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e9])
def test_a_column_that_never_varies_cannot_be_scaled(store: Store, constant: float) -> None:
    columns = {"a": [1.0, 2.0, 3.0], "flat": [constant, constant, NAN]}
    with pytest.raises(InvalidInput, match="'flat' never varies") as caught:
        load_matrix(store(columns), ["a", "flat"], scale=True)
    assert caught.value.reason == "CONSTANT_COLUMN"
    assert load_matrix(store(columns), ["a", "flat"], scale=False).values.shape == (2, 2)


@pytest.mark.parametrize("scale", [False, True])
def test_no_complete_row_is_refused(store: Store, scale: bool) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_matrix(store({"a": [1.0, NAN], "b": [NAN, 2.0]}), ["a", "b"], scale=scale)
    assert caught.value.reason == "NO_COMPLETE_ROWS"


def test_text_is_refused(store: Store) -> None:
    with pytest.raises(InvalidInput, match="'t' is not numeric"):
        load_matrix(store({"t": ["x"]}), ["t"], scale=False)
