"""Outliers: rows farther from their cluster than a normal cluster reaches. Pure functions."""

from __future__ import annotations

from scipy.special import gammaincinv

from services.core.errors import FieldViolation, InvalidInput

__all__ = ["DEFAULT_OUTLIER_PROBABILITY", "largest_square"]

DEFAULT_OUTLIER_PROBABILITY = 0.999


def largest_square(probability: float, d: int) -> float:
    """The quantile of the chi-square distribution with d degrees of freedom at this probability.

    Squared Mahalanobis distances of normal rows in d columns follow that distribution, so that a share of
    1 - `probability` of them lies above.

    Raises:
        InvalidInput: the probability is not above 0 and below 1 (field `header.outlier_probability`).
    """
    if not 0.0 < probability < 1.0:
        violation = FieldViolation(
            "header.outlier_probability",
            f"outlier_probability is {probability}; it must be above 0 and below 1.",
        )
        raise InvalidInput(violation.description, violations=[violation])
    return float(2.0 * gammaincinv(d / 2.0, probability))
