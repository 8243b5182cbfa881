from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.backoff import backoff_seconds


@pytest.mark.parametrize(
    ("failures", "jitter", "expected"),
    [(1, 0.0, 0.05), (2, 0.0, 0.1), (3, 0.0, 0.2), (3, 0.5, 0.3), (100_000, 0.0, 5.0)],
)
def test_pause_doubles_up_to_a_bound(failures: int, jitter: float, expected: float) -> None:
    assert backoff_seconds(failures, jitter) == pytest.approx(expected)


@given(st.integers(1, 10**9), st.floats(0.0, 1.0, exclude_max=True))
def test_pause_is_never_nothing_and_never_endless(failures: int, jitter: float) -> None:
    assert 0.05 <= backoff_seconds(failures, jitter) <= 10.0
