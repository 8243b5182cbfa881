"""Moments of columns, accumulated batch by batch without loss of digits.

Means and sums of squared deviations are merged as in Chan, Golub and LeVeque (1979), "Updating formulae and
a pairwise algorithm for computing sample variances": deviations are taken from each batch's own mean. All
of it happens after the mean of the first batch is taken away, so that a large common offset costs no digits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.core.datasets import ColumnStatistics

__all__ = ["ColumnMoments", "JointMoments"]


class ColumnMoments:
    """Range, mean and deviation of one column."""

    def __init__(self) -> None:
        self._count = 0
        self._shift = 0.0
        self._mean = 0.0
        self._squares = 0.0
        self._minimum = np.inf
        self._maximum = -np.inf

    @property
    def count(self) -> int:
        """How many numbers were added."""
        return self._count

    def add(self, numbers: NDArray[np.float64]) -> None:
        """Add m numbers, shape (m,); NaN is left out."""
        kept = numbers[~np.isnan(numbers)]
        if not kept.size:
            return
        self._minimum = min(self._minimum, float(kept.min()))
        self._maximum = max(self._maximum, float(kept.max()))
        if not self._count:
            self._shift = float(kept.mean())
        shifted = kept - self._shift
        mean = float(shifted.mean())
        deviations = shifted - mean
        squares = float(deviations @ deviations)
        count = self._count + kept.size
        step = mean - self._mean
        self._squares += squares + step * step * (self._count * kept.size / count)
        self._mean += step * (kept.size / count)
        self._count = count

    def statistics(self) -> ColumnStatistics | None:
        """Return them in the column's units, population standard deviation; None without any number."""
        if not self._count:
            return None
        minimum, maximum = self._minimum, self._maximum
        if minimum == maximum:
            # Rounding in the mean must not give a constant column a deviation.
            return ColumnStatistics(minimum, maximum, minimum, 0.0)
        mean = min(max(self._shift + self._mean, minimum), maximum)
        return ColumnStatistics(minimum, maximum, mean, float(np.sqrt(self._squares / self._count)))


class JointMoments:
    """Means and products of deviations of c columns, over rows complete in all of them."""

    def __init__(self, width: int) -> None:
        self._count = 0
        self._shift = np.zeros(width)
        self._mean = np.zeros(width)
        self._products = np.zeros((width, width))
        self._minimum = np.full(width, np.inf)
        self._maximum = np.full(width, -np.inf)

    @property
    def count(self) -> int:
        """How many complete rows were added."""
        return self._count

    def add(self, rows: NDArray[np.float64]) -> None:
        """Add m rows, shape (m, c); a row with NaN is left out."""
        kept = rows[~np.isnan(rows).any(axis=1)]
        if not kept.size:
            return
        self._minimum = np.minimum(self._minimum, kept.min(axis=0))
        self._maximum = np.maximum(self._maximum, kept.max(axis=0))
        if not self._count:
            self._shift = kept.mean(axis=0)
        shifted = kept - self._shift
        mean = shifted.mean(axis=0)
        deviations = shifted - mean
        size = len(kept)
        count = self._count + size
        step = mean - self._mean
        self._products += deviations.T @ deviations + np.outer(step, step) * (self._count * size / count)
        self._mean += step * (size / count)
        self._count = count

    def correlation(self) -> NDArray[np.float64]:
        """Return Pearson correlations (c, c), from -1 to 1; NaN in rows and columns that do not vary."""
        scale = np.sqrt(np.diag(self._products))
        scale[(self._minimum >= self._maximum) | (scale == 0)] = np.nan
        correlation = np.clip(self._products / scale[:, None] / scale, -1.0, 1.0)
        diagonal = np.arange(len(scale))
        correlation[diagonal, diagonal] = np.where(np.isnan(scale), np.nan, 1.0)
        return np.asarray(correlation, dtype=np.float64)
