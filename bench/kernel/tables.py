"""The tables that are fitted: generated, standardised, seeded."""

from __future__ import annotations

import numpy as np


def overlapping(n: int, d: int, n_components: int = 10, seed: int = 0) -> np.ndarray:
    """(n, d) rows of overlapping Gaussian components of different shapes: slow to converge."""
    rng = np.random.default_rng(seed)
    component = rng.integers(n_components, size=n)
    shapes = rng.normal(size=(n_components, d, d)) / np.sqrt(d)
    centers = rng.normal(0, 1.5, (n_components, d))
    x = rng.normal(size=(n, d))
    for k in range(n_components):
        rows = component == k
        x[rows] = x[rows] @ shapes[k].T + 0.5 * rng.normal(size=(rows.sum(), d)) + centers[k]
    x -= x.mean(axis=0)
    x /= x.std(axis=0)
    return x


def survey(n: int = 3232, seed: int = 7) -> np.ndarray:
    """(n, 3) rows like those of a soil survey: correlated, skewed, in four unequal zones; standardised."""
    rng = np.random.default_rng(seed)
    zones = rng.choice(4, n, p=[0.5, 0.25, 0.15, 0.1])
    mixing = np.array([[1.0, 0.6, 0.2], [0.0, 0.8, -0.3], [0.0, 0.0, 0.9]])
    x = np.exp(0.35 * rng.normal(size=(n, 3)) @ mixing + 0.8 * zones[:, None])
    x -= x.mean(axis=0)
    x /= x.std(axis=0)
    return x
