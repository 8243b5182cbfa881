"""What a plot of one fit needs: rows on axes, the label of each, and the clusters behind the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from kmeans.v1 import task_pb2
from numpy.typing import NDArray

__all__ = ["Axis", "Panel", "present_labels"]


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """One numeric column of r sampled rows.

    Attributes:
        name: of the column, as the user wrote it.
        values: (r,) float64, NaN where missing.
    """

    name: str
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One fit of a job.

    Attributes:
        title: such as `full-untied, K = 3`.
        labels: (r,) of the sampled rows, -1 where there is none; None where the fit has no labels.
        clusters: with center (d) and covariance (d, d) in original units; empty when not known.
        columns: names of the d columns of the fit.
        note: shown in place of the points when there are none.
        is_best: whether it is the best fit overall.
    """

    title: str
    labels: NDArray[np.int64] | None = None
    clusters: Sequence[task_pb2.Cluster] = ()
    columns: Sequence[str] = field(default_factory=tuple)
    note: str = ""
    is_best: bool = False


def present_labels(labels: NDArray[np.int64]) -> list[int]:
    """The labels that occur, clusters first in order, -1 last."""
    found = [int(label) for label in np.unique(labels)]
    return [label for label in found if label >= 0] + [label for label in found if label < 0]
