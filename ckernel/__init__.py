"""K-means with Mahalanobis distance: the compiled compute core. Imports NumPy and nothing of ours."""

from ckernel.fitting import MAX_MAGNITUDE, assign, assign_with_distances, distances, fit, score
from ckernel.model import (
    ASSIGNMENTS,
    COVARIANCES,
    Assignment,
    Covariance,
    Fit,
    Model,
    akaike_information,
    bayesian_information,
    count_parameters,
    parameters_shape,
)

__all__ = [
    "ASSIGNMENTS",
    "COVARIANCES",
    "MAX_MAGNITUDE",
    "Assignment",
    "Covariance",
    "Fit",
    "Model",
    "akaike_information",
    "assign",
    "assign_with_distances",
    "bayesian_information",
    "count_parameters",
    "distances",
    "fit",
    "parameters_shape",
    "score",
]
