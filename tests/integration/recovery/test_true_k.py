"""The recommended K on generated mixtures is the true one (`bench.recovery` runs a hundred)."""

from __future__ import annotations

import pytest

from bench.recovery import draw_mixture, recommend


@pytest.mark.parametrize("seed", range(100, 112))
def test_the_true_k_is_recommended(seed: int) -> None:
    mixture = draw_mixture(seed)
    best = recommend(mixture)
    assert best is not None
    assert best.key.k == mixture.k
