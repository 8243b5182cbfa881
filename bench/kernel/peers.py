"""What a user could pick instead, each as its own documentation would have it written."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture


@dataclass
class Outcome:
    """Where a peer ended."""

    labels: np.ndarray
    n_iter: int
    converged: bool


def scipy_fit(
    x: np.ndarray, labels: np.ndarray, n_clusters: int, covariance: str, max_iter: int = 300
) -> Outcome:
    """K-means with Mahalanobis distance in SciPy and NumPy, likelihood rule, from a partition.

    Full covariances take `np.cov` and `cdist(metric="mahalanobis")`, cluster by cluster when untied; diagonal
    and spherical ones the cheaper `var` and `seuclidean` or `sqeuclidean`. A lost cluster stays lost.
    """
    shape, sharing = covariance.split("-")
    n, d = x.shape
    for n_iter in range(1, max_iter + 1):
        members = [x[labels == k] for k in range(n_clusters)]
        counts = np.array([len(rows) for rows in members])
        lost = counts == 0
        centers = np.array([rows.mean(axis=0) if len(rows) else np.zeros(d) for rows in members])
        if shape == "full":
            spreads = np.zeros((n_clusters, d, d))
            for k in np.flatnonzero(~lost):
                spreads[k] = np.cov(members[k], rowvar=False, bias=True).reshape(d, d)
                if sharing == "untied" and counts[k] <= d:  # singular: what scikit-learn adds
                    spreads[k] += 1e-6 * np.eye(d)
        else:
            spreads = np.array([rows.var(axis=0) if len(rows) else np.zeros(d) for rows in members])
            if sharing == "untied":
                spreads += 1e-6 * (counts < 2)[:, np.newaxis]
            if shape == "spher":
                spreads = spreads.mean(axis=1)
        if sharing == "tied":
            spread = np.tensordot(counts / n, spreads, axes=1)
            if shape == "full":
                costs = cdist(x, centers, "mahalanobis", VI=np.linalg.inv(spread)) ** 2
            elif shape == "diag":
                costs = cdist(x, centers, "seuclidean", V=spread) ** 2
            else:
                costs = cdist(x, centers, "sqeuclidean") / spread
        else:
            costs = np.empty((n, n_clusters))
            for k in np.flatnonzero(~lost):
                spread = spreads[k]
                center = centers[k : k + 1]
                if shape == "full":
                    costs[:, k] = cdist(x, center, "mahalanobis", VI=np.linalg.inv(spread))[:, 0] ** 2
                    costs[:, k] += np.linalg.slogdet(spread)[1]
                elif shape == "diag":
                    costs[:, k] = cdist(x, center, "seuclidean", V=spread)[:, 0] ** 2
                    costs[:, k] += np.log(spread).sum()
                else:
                    costs[:, k] = cdist(x, center, "sqeuclidean")[:, 0] / spread
                    costs[:, k] += d * np.log(spread)
        costs[:, ~lost] -= 2 * np.log(counts[~lost] / n)
        costs[:, lost] = np.inf
        new = costs.argmin(axis=1)
        if (new == labels).all():
            return Outcome(labels, n_iter, True)
        labels = new
    return Outcome(labels, max_iter, False)


def gaussian_mixture(x: np.ndarray, labels: np.ndarray, n_clusters: int, max_iter: int) -> Outcome:
    """scikit-learn's EM, full covariances, from the partition's weights, means and precisions."""
    members = [x[labels == k] for k in range(n_clusters)]
    model = GaussianMixture(
        n_clusters,
        covariance_type="full",
        tol=0,
        max_iter=max_iter,
        weights_init=np.array([len(rows) for rows in members]) / len(x),
        means_init=np.array([rows.mean(axis=0) for rows in members]),
        precisions_init=np.array([np.linalg.inv(np.cov(rows, rowvar=False)) for rows in members]),
        init_params="random_from_data",
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x)
    return Outcome(np.empty(0), model.n_iter_, model.converged_)


def lloyd(x: np.ndarray, labels: np.ndarray, n_clusters: int, max_iter: int) -> Outcome:
    """scikit-learn's KMeans, from the partition's means."""
    centers = np.array([x[labels == k].mean(axis=0) for k in range(n_clusters)])
    model = KMeans(n_clusters, init=centers, n_init=1, algorithm="lloyd", tol=0, max_iter=max_iter)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x)
    return Outcome(model.labels_, model.n_iter_, model.n_iter_ < max_iter)
