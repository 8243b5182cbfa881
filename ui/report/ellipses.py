"""The outline that holds a stated share of a normal distribution, in two of its columns."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["PROBABILITY", "marginal", "outline", "squared_radius"]

PROBABILITY = 0.95


def squared_radius(probability: float = PROBABILITY) -> float:
    """Quantile of the chi-square distribution with two degrees of freedom, -2 log(1 - probability).

    The squared Mahalanobis distance of a bivariate normal has that distribution (Johnson & Wichern,
    Applied Multivariate Statistical Analysis, 4.2); 5.991 for 95 %.
    """
    if not 0 < probability < 1:
        raise ValueError(f"probability is {probability}; it must be above 0 and below 1.")
    return -2 * math.log1p(-probability)


def marginal(covariance: NDArray[np.float64], first: int, second: int) -> NDArray[np.float64]:
    """(2, 2) covariance of two of the d columns of a covariance (d, d)."""
    chosen = [first, second]
    return np.asarray(covariance[np.ix_(chosen, chosen)], dtype=np.float64)


def outline(
    center: NDArray[np.float64],
    covariance: NDArray[np.float64],
    probability: float = PROBABILITY,
    point_count: int = 72,
) -> NDArray[np.float64]:
    """Points (point_count + 1, 2) of the closed contour, the last equal to the first.

    Args:
        center: (2,).
        covariance: (2, 2), symmetric; a singular one gives a line.
        probability: share of the distribution inside, above 0 and below 1.
        point_count: corners of the polygon.
    """
    variances, axes = np.linalg.eigh(covariance)
    radii = np.sqrt(np.clip(variances, 0, None) * squared_radius(probability))
    angles = np.linspace(0, 2 * math.pi, point_count + 1)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    circle[-1] = circle[0]
    return np.asarray(center + (circle * radii) @ axes.T, dtype=np.float64)
