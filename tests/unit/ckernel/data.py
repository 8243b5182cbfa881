"""Tables for the kernel's tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

import ckernel
from ckernel import _core


def mixture(
    seed: int, n: int, d: int, n_components: int = 3, spread: float = 4.0, far: float = 0.0
) -> np.ndarray:
    """(n, d) rows of Gaussian components of different shapes, sizes and units, `far` from the origin."""
    rng = np.random.default_rng(seed)
    units = 10.0 ** rng.uniform(-2, 2, d)
    component = rng.integers(n_components, size=n)
    centers = rng.normal(0, spread, (n_components, d))
    shapes = rng.normal(0, 1, (n_components, d, d)) / np.sqrt(d)
    rows = np.einsum("nij,nj->ni", shapes[component], rng.normal(size=(n, d)))
    return (rows + centers[component] + 0.3 * rng.normal(size=(n, d)) + far) * units


def first_labels(x: np.ndarray, n_clusters: int, covariance: str, seed: int, start: int = 0) -> np.ndarray:
    """The kernel's own k-means++ partition, for the oracle to begin with."""
    key = np.random.SeedSequence(seed).generate_state(2, np.uint64)
    return _core.first_labels(
        np.ascontiguousarray(x), n_clusters, ckernel.COVARIANCES.index(covariance), key, start
    )


covariances = st.sampled_from(ckernel.COVARIANCES)
rules = st.sampled_from(ckernel.ASSIGNMENTS)
seeds = st.integers(0, 2**32 - 1)
