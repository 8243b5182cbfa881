from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.tables.statistics import ColumnMoments, JointMoments

VALUES = st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=40)
CUTS = st.lists(st.integers(0, 40), max_size=5)


def moments_of(values: np.ndarray, cuts: list[int]) -> ColumnMoments:
    moments = ColumnMoments()
    for part in np.split(values, sorted(min(cut, len(values)) for cut in cuts)):
        moments.add(part)
    return moments


@settings(deadline=None)
@given(VALUES, CUTS)
def test_batches_give_what_exact_arithmetic_gives(values: list[float], cuts: list[int]) -> None:
    statistics = moments_of(np.array(values), cuts).statistics()
    assert statistics is not None
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    variance = float(sum((value - mean) ** 2 for value in exact) / len(exact))
    scale = max(map(abs, values), default=0.0)
    assert (statistics.minimum, statistics.maximum) == (min(values), max(values))
    assert statistics.mean == pytest.approx(float(mean), rel=1e-12, abs=1e-13 * scale)
    assert statistics.standard_deviation == pytest.approx(math.sqrt(variance), rel=1e-9, abs=1e-12 * scale)


def test_a_large_common_offset_does_not_drown_the_spread() -> None:
    values = 1e9 + np.tile([1.0, 2.0, 3.0, 4.0], 1000)
    statistics = moments_of(values, [10, 500, 501]).statistics()
    assert statistics is not None
    assert statistics.standard_deviation == pytest.approx(math.sqrt(1.25), rel=1e-12)


def test_missing_numbers_are_left_out() -> None:
    moments = moments_of(np.array([np.nan, 1.0, np.nan, 3.0]), [1, 3])
    assert moments.count == 2
    statistics = moments.statistics()
    assert statistics is not None
    assert (statistics.mean, statistics.standard_deviation) == (2.0, 1.0)


def test_without_numbers_there_are_no_statistics() -> None:
    assert moments_of(np.array([np.nan, np.nan]), [1]).statistics() is None


def test_a_constant_column_deviates_by_nothing() -> None:
    statistics = moments_of(np.full(1000, 0.1), [3, 77]).statistics()
    assert statistics is not None
    assert (statistics.mean, statistics.standard_deviation) == (0.1, 0.0)


def test_the_largest_numbers_do_not_overflow() -> None:
    statistics = moments_of(np.array([1e100, -1e100] * 100), [50]).statistics()
    assert statistics is not None
    assert statistics.standard_deviation == pytest.approx(1e100)


@settings(deadline=None)
@given(st.integers(2, 30), st.integers(1, 4), CUTS, st.integers(0, 99))
def test_correlation_over_complete_rows(m: int, c: int, cuts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(1e5, 1.0, size=(m, c))
    rows[rng.random((m, c)) < 0.1] = np.nan
    joint = JointMoments(c)
    for part in np.split(rows, sorted(min(cut, m) for cut in cuts)):
        joint.add(part)
    complete = rows[~np.isnan(rows).any(axis=1)]
    assert joint.count == len(complete)
    if len(complete) > 2:
        expected = np.atleast_2d(np.corrcoef(complete.T))
        np.testing.assert_allclose(joint.correlation(), expected, atol=1e-8)


def test_correlation_of_what_does_not_vary_is_not_a_number() -> None:
    joint = JointMoments(3)
    joint.add(np.array([[0.1, 1.0, 2.0], [0.1, 2.0, 4.0]]))
    joint.add(np.array([[0.1, 4.0, 8.0]]))
    nan = np.nan
    np.testing.assert_allclose(joint.correlation(), [[nan, nan, nan], [nan, 1, 1], [nan, 1, 1]])


def test_correlation_of_nothing() -> None:
    joint = JointMoments(2)
    joint.add(np.array([[np.nan, 1.0]]))
    assert joint.count == 0
    assert np.isnan(joint.correlation()).all()
    assert JointMoments(0).correlation().shape == (0, 0)
