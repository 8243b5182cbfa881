"""The adjusted Rand index against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from services.core.agreement import MAX_COMPARED_ROWS, adjusted_rand_index, choose_compared, count_pairs

labellings = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        *(st.lists(st.integers(0, 5), min_size=n, max_size=n).map(lambda x: np.array(x, np.int32)),) * 2
    )
)


def index(first: list[int] | np.ndarray, second: list[int] | np.ndarray) -> float:
    return adjusted_rand_index(count_pairs(np.array(first, np.int32), np.array(second, np.int32)))


@given(labellings)
def test_it_is_that_of_scikit_learn(pair: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = pair
    assert index(first, second) == pytest.approx(adjusted_rand_score(first, second), abs=1e-12)
    assert index(first, second) == index(second, first)


def test_edge_cases() -> None:
    assert index([0, 0, 0], [0, 0, 0]) == 1.0
    assert index([0, 1, 2], [2, 0, 1]) == 1.0
    assert index([0], [3]) == 1.0
    assert index([0, 0, 1, 1], [1, 1, 0, 0]) == 1.0
    assert index([0, 0, 0, 0], [0, 0, 1, 1]) == 0.0
    assert index([0, 0, 1, 1], [0, 1, 0, 1]) == -0.5
    assert adjusted_rand_index(np.zeros((2, 3), np.int64)) == 1.0


def test_many_rows_do_not_overflow() -> None:
    table = np.array([[10**9, 1], [1, 10**9]], np.int64)
    assert index([0, 1], [0, 1]) == 1.0
    assert adjusted_rand_index(table) == pytest.approx(1 - 4e-9, abs=1e-12)
    assert adjusted_rand_index(np.full((3, 3), 10**9, np.int64)) == pytest.approx(0.0, abs=1e-9)


def test_the_sample_is_fixed_and_bounded() -> None:
    assert choose_compared(MAX_COMPARED_ROWS) is None
    chosen = choose_compared(MAX_COMPARED_ROWS + 7)
    assert chosen is not None
    assert len(chosen) == MAX_COMPARED_ROWS
    assert (np.diff(chosen) > 0).all()
    assert chosen[0] >= 0
    assert chosen[-1] < MAX_COMPARED_ROWS + 7
    np.testing.assert_array_equal(chosen, choose_compared(MAX_COMPARED_ROWS + 7))
