"""The kernel's formulas once more, in plain NumPy and in the coordinates of the data: the tests' oracle.

Nothing here is fast or clever: covariances are summed point by point in the obvious way, distances solve
against a Cholesky factor, and no change of coordinates is made, so an error in the kernel's frame, tiles,
moments or rules shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FLOOR = 1e-6
POOLED_FLOOR = 1e-8


MAX_RESEEDS = 10


class EmptiedError(Exception):
    """A cluster lost its last member: the oracle re-seeds under the classic rule only."""


@dataclass
class Estimate:
    weights: np.ndarray  # (K,)
    centers: np.ndarray  # (K, d)
    covariances: np.ndarray  # (K, d, d)
    log_likelihood: float
    regularized: bool


def total_covariance(x: np.ndarray, covariance: str) -> np.ndarray:
    """(d, d) covariance of all rows, in the shape of the model."""
    return shaped(np.cov(x.T, bias=True).reshape(x.shape[1], x.shape[1]), covariance)


def shaped(s: np.ndarray, covariance: str) -> np.ndarray:
    """Project a covariance (d, d) onto a shape: isotropic, diagonal or full."""
    if covariance.startswith("spher"):
        return np.eye(len(s)) * np.trace(s) / len(s)
    if covariance.startswith("diag"):
        return np.diag(np.diag(s))
    return s


def relative_spectrum(s: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues of s relative to a reference R, and V with s = V diag(values) V', R = V V'."""
    factor = np.linalg.cholesky(reference)
    inner = np.linalg.solve(factor, np.linalg.solve(factor, s).T)
    values, vectors = np.linalg.eigh((inner + inner.T) / 2)
    return values, factor @ vectors


def raised(s: np.ndarray, reference: np.ndarray, floor: float) -> tuple[np.ndarray, bool]:
    """s with eigenvalues of at least `floor` relative to the reference; whether any was raised."""
    values, basis = relative_spectrum(s, reference)
    if (values >= floor).all():
        return s, False
    return basis @ np.diag(np.maximum(values, floor)) @ basis.T, True


class Estimator:
    """The M-step of one start. Keeps the reference of the floor from step to step."""

    def __init__(self, x: np.ndarray, n_clusters: int, covariance: str) -> None:
        self.x, self.n_clusters, self.covariance = x, n_clusters, covariance
        self.total = total_covariance(x, covariance)
        self.reference: np.ndarray | None = None

    def __call__(self, z: np.ndarray) -> Estimate:
        """Model that maximises the likelihood of labels z."""
        x, covariance = self.x, self.covariance
        n, d = x.shape
        counts = np.bincount(z, minlength=self.n_clusters)
        if (counts == 0).any():
            raise EmptiedError
        centers = np.array([x[z == k].mean(axis=0) for k in range(self.n_clusters)])
        scatters = np.array(
            [(x[z == k] - centers[k]).T @ (x[z == k] - centers[k]) for k in range(self.n_clusters)]
        )
        pooled = shaped(scatters.sum(axis=0) / n, covariance)
        if covariance.endswith("-tied"):
            one, regularized = raised(pooled, self.total, POOLED_FLOOR)
            covariances = np.array([one] * self.n_clusters)
        else:
            covariances = np.array([shaped(w / m, covariance) for w, m in zip(scatters, counts, strict=True)])
            covariances, regularized = self.floored(covariances, pooled)
        squares = squared_distances(x, centers, covariances)[np.arange(n), z].sum()
        _, log_det = np.linalg.slogdet(covariances)
        log_likelihood = (counts * np.log(counts / n)).sum() - 0.5 * (
            n * d * np.log(2 * np.pi) + (counts * log_det).sum() + squares
        )
        return Estimate(counts / n, centers, covariances, float(log_likelihood), regularized)

    def floored(self, covariances: np.ndarray, pooled: np.ndarray) -> tuple[np.ndarray, bool]:
        """Untied covariances above the floor. Those that are clearly above it leave no reference behind."""
        low = [not self.clearly_above(s) for s in covariances]
        if not any(low):
            self.reference = None
            return covariances, False
        least, _ = raised(pooled, self.total, POOLED_FLOOR)
        if self.reference is not None:  # follow the pooled covariance down, never up
            values, basis = relative_spectrum(least, self.reference)
            least = basis @ np.diag(np.minimum(values, 1)) @ basis.T
        self.reference = least
        pairs = [
            raised(s, least, FLOOR) if is_low else (s, False)
            for s, is_low in zip(covariances, low, strict=True)
        ]
        return np.array([s for s, _ in pairs]), any(acted for _, acted in pairs)

    def clearly_above(self, s: np.ndarray) -> bool:
        values, _ = relative_spectrum(s, self.total)
        if self.covariance.startswith("full"):
            return bool((values > 0).all() and (1 / values).sum() * FLOOR <= 1)
        return bool((values >= FLOOR).all())


def squared_distances(x: np.ndarray, centers: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """(n, K) squared Mahalanobis distances."""
    result = np.empty((len(x), len(centers)))
    for k, (center, s) in enumerate(zip(centers, covariances, strict=True)):
        y = np.linalg.solve(np.linalg.cholesky(s), (x - center).T)
        result[:, k] = (y**2).sum(axis=0)
    return result


def costs(x: np.ndarray, estimate: Estimate, rule: str) -> np.ndarray:
    """(n, K): what the assignment rule minimises."""
    f = squared_distances(x, estimate.centers, estimate.covariances)
    if rule == "likelihood":
        f = f + np.linalg.slogdet(estimate.covariances)[1] - 2 * np.log(estimate.weights)
    return f


def reseeded(x: np.ndarray, z: np.ndarray, estimator: Estimator, n_clusters: int) -> np.ndarray:
    """Classic rule: the first empty cluster starts anew at the worst-explained point, with the covariance
    of that point's cluster; all points are then assigned."""
    members = np.unique(z)
    small = Estimator(x, len(members), estimator.covariance)
    small.reference = estimator.reference
    estimate = small(np.searchsorted(members, z))
    f = np.full((len(x), n_clusters), np.inf)
    f[:, members] = costs(x, estimate, "mahalanobis")
    worst = f[np.arange(len(x)), z].argmax()
    empty = np.setdiff1d(np.arange(n_clusters), members)[0]
    own = estimate.covariances[[np.searchsorted(members, z[worst])]]
    f[:, empty] = squared_distances(x, x[[worst]], own)[:, 0]
    return f.argmin(axis=1)


@dataclass
class Run:
    labels: np.ndarray
    estimate: Estimate
    trace: list[float]
    n_iter: int
    converged: bool


def run(
    x: np.ndarray, z: np.ndarray, n_clusters: int, covariance: str, rule: str, max_iter: int = 300
) -> Run:
    """One start from the partition z."""
    estimator = Estimator(x, n_clusters, covariance)
    seen: set[bytes] = set()
    best, best_estimate, trace, reseeds = z, None, [], MAX_RESEEDS
    for n_iter in range(max_iter + 1):
        estimate = estimator(z)
        trace.append(estimate.log_likelihood)
        if best_estimate is None or estimate.log_likelihood > best_estimate.log_likelihood:
            best, best_estimate = z, estimate
        if n_iter == max_iter or z.tobytes() in seen:
            if rule == "mahalanobis":
                z, estimate = best, best_estimate
            return Run(z, estimate, trace, n_iter, False)
        seen.add(z.tobytes())
        new = costs(x, estimate, rule).argmin(axis=1)
        if rule == "mahalanobis":
            while len(np.unique(new)) < n_clusters and reseeds > 0:
                reseeds -= 1
                new = reseeded(x, new, estimator, n_clusters)
        if (new == z).all():
            return Run(z, estimate, trace, n_iter + 1, True)
        z = new
    raise AssertionError


def canonical(z: np.ndarray, estimate: Estimate) -> tuple[np.ndarray, Estimate]:
    """Renumber: the largest cluster first, ties by center."""
    counts = np.bincount(z, minlength=len(estimate.centers))
    order = sorted(range(len(counts)), key=lambda k: (-counts[k], tuple(estimate.centers[k])))
    return np.argsort(order)[z], Estimate(
        estimate.weights[order],
        estimate.centers[order],
        estimate.covariances[order],
        estimate.log_likelihood,
        estimate.regularized,
    )
