"""The six covariance models and the two assignment rules, by their names of the field."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Assignment", "Covariance"]


class Covariance(StrEnum):
    """Shape (`full`, `diag`, `spher`) and sharing (`tied`, `untied`) of the cluster covariances."""

    FULL_UNTIED = "full-untied"
    FULL_TIED = "full-tied"
    DIAG_UNTIED = "diag-untied"
    DIAG_TIED = "diag-tied"
    SPHER_UNTIED = "spher-untied"
    SPHER_TIED = "spher-tied"

    @property
    def stream(self) -> int:
        """The number this model has in a task's random stream; never renumbered."""
        return _STREAMS[self]


_STREAMS = {
    Covariance.FULL_UNTIED: 0,
    Covariance.FULL_TIED: 1,
    Covariance.DIAG_UNTIED: 2,
    Covariance.DIAG_TIED: 3,
    Covariance.SPHER_UNTIED: 4,
    Covariance.SPHER_TIED: 5,
}


class Assignment(StrEnum):
    """The rule that gives a point to a cluster.

    `likelihood` minimises d² + log|Σ| − 2 log π (classification EM, Celeux & Govaert 1992);
    `mahalanobis` minimises the squared Mahalanobis distance d² alone.
    """

    LIKELIHOOD = "likelihood"
    MAHALANOBIS = "mahalanobis"
