"""Which clusters of two fits are the same rows, so that they can have the same colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

__all__ = ["matched"]


def matched(labels: NDArray[np.int64], best: NDArray[np.int64], n_clusters: int, n_best: int) -> list[int]:
    """For each cluster of a fit the cluster of the best fit whose colour it gets.

    Clusters are paired so that as many rows as possible lie in a pair (the assignment problem, Kuhn 1955).
    A cluster beyond those of the best fit, or one that shares no row with its pair, gets a number that the
    best fit does not have.

    Args:
        labels: (r,) of the fit, negative where there is none.
        best: (r,) of the best fit, of the same rows.
        n_clusters: K of the fit.
        n_best: K of the best fit.
    """
    shared = np.zeros((n_clusters, n_best), dtype=np.int64)
    both = (labels >= 0) & (best >= 0)
    np.add.at(shared, (labels[both], best[both]), 1)
    places = [-1] * n_clusters
    for mine, its in zip(*linear_sum_assignment(shared, maximize=True), strict=True):
        if shared[mine, its]:
            places[mine] = int(its)
    further = iter(range(n_best, n_best + n_clusters))
    return [next(further) if place < 0 else place for place in places]
