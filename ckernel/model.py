"""Values that the kernel takes and gives: the covariance models, a model, a fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Covariance = Literal["spher-tied", "spher-untied", "diag-tied", "diag-untied", "full-tied", "full-untied"]
Assignment = Literal["likelihood", "mahalanobis"]

# In the order of the C enums.
COVARIANCES: tuple[Covariance, ...] = get_args(Covariance)
ASSIGNMENTS: tuple[Assignment, ...] = get_args(Assignment)

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]


def parameters_shape(covariance: Covariance, n_clusters: int, d: int) -> tuple[int, ...]:
    """Shape of the compact covariance parameters of a model of K clusters in d columns."""
    shapes: dict[Covariance, tuple[int, ...]] = {
        "spher-tied": (1,),
        "spher-untied": (n_clusters,),
        "diag-tied": (d,),
        "diag-untied": (n_clusters, d),
        "full-tied": (d, d),
        "full-untied": (n_clusters, d, d),
    }
    return shapes[covariance]


def count_parameters(covariance: Covariance, n_clusters: int, d: int) -> int:
    """Free parameters p = (K - 1) + K d + those of the covariances."""
    shape, sharing = covariance.split("-")
    one = {"spher": 1, "diag": d, "full": d * (d + 1) // 2}[shape]
    return (n_clusters - 1) + n_clusters * d + one * (1 if sharing == "tied" else n_clusters)


def bayesian_information(log_likelihood: float, n_parameters: int, n: int) -> float:
    """BIC = CL - (p / 2) log n; higher is better (half of mclust's, -1/2 of scikit-learn's)."""
    return log_likelihood - 0.5 * n_parameters * float(np.log(n))


def akaike_information(log_likelihood: float, n_parameters: int) -> float:
    """AIC = CL - p; higher is better."""
    return log_likelihood - n_parameters


@dataclass(frozen=True, eq=False)
class Model:
    """What a fit learned; labels are a function of it and of the data.

    Attributes:
        covariance: one of the six covariance models.
        assignment: the rule that gives a point to a cluster.
        weights: (K,) shares of the points; a cluster of weight 0 receives none.
        centers: (K, d), in the units of the data.
        parameters: the covariance parameters, compact: spher-tied (1,), spher-untied (K,),
            diag-tied (d,), diag-untied (K, d), full-tied (d, d), full-untied (K, d, d).
    """

    covariance: Covariance
    assignment: Assignment
    weights: Floats
    centers: Floats
    parameters: Floats

    @property
    def n_clusters(self) -> int:
        """K."""
        return int(self.centers.shape[0])

    @property
    def covariances(self) -> Floats:
        """The covariances in full, (K, d, d), whatever the covariance model."""
        n_clusters, d = self.centers.shape
        shape, sharing = self.covariance.split("-")
        parameters = self.parameters
        if shape == "spher":
            parameters = parameters[:, np.newaxis, np.newaxis] * np.eye(d)
        elif shape == "diag":
            parameters = parameters[..., np.newaxis] * np.eye(d)
        if sharing == "tied":
            parameters = np.broadcast_to(parameters, (n_clusters, d, d))
        return np.array(parameters)


@dataclass(frozen=True, eq=False)
class Fit:
    """The best of the starts of one fit.

    Attributes:
        model: weights, centers and covariances.
        labels: (n,) int32, equal to `assign(data, model)`; cluster 0 is the largest, ties by center.
        counts: (K,) members of each cluster.
        log_likelihood: classification log-likelihood CL of these labels under this model.
        bic: CL - (p / 2) log n, higher is better.
        aic: CL - p, higher is better.
        n_parameters: p.
        n_iter: assignment passes of the winning start.
        converged: its last pass changed no label.
        regularized: the floor under the covariances' eigenvalues acted on this model.
        degenerate: not to be recommended; `diagnosis` says why.
        diagnosis: a sentence, empty when the fit is sound.
        start: index of the winning start.
        trace: CL after each estimate of the winning start.
    """

    model: Model
    labels: Labels
    counts: Counts
    log_likelihood: float
    bic: float
    aic: float
    n_parameters: int
    n_iter: int
    converged: bool
    regularized: bool
    degenerate: bool
    diagnosis: str
    start: int
    trace: Floats

    @property
    def weights(self) -> Floats:
        """(K,) shares of the points."""
        return self.model.weights

    @property
    def centers(self) -> Floats:
        """(K, d) centers."""
        return self.model.centers

    @property
    def covariances(self) -> Floats:
        """(K, d, d) covariances, expanded."""
        return self.model.covariances
