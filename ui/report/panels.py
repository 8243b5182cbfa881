"""What a plot of one fit needs: rows on axes, the label of each, and the clusters behind the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from kmeans.v1 import task_pb2
from numpy.typing import NDArray

from ui.report.wording import cluster_name

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
        places: for each label the cluster of the best fit whose look it has (`matching`); empty for its own.
        n_best: K of the best fit that `places` refers to; 0 where it refers to none.
    """

    title: str
    labels: NDArray[np.int64] | None = None
    clusters: Sequence[task_pb2.Cluster] = ()
    columns: Sequence[str] = field(default_factory=tuple)
    note: str = ""
    is_best: bool = False
    places: Sequence[int] = ()
    n_best: int = 0

    def rank(self, label: int) -> int:
        """Where in the legend: as the best fit numbers them, whichever panel has one first; no label last."""
        if label < 0:
            return 2000
        return 1000 + (self.places[label] if self.places else label)

    def group(self, label: int) -> str:
        """What the legend calls the clusters that look as this one does."""
        if label < 0 or not self.places:
            return cluster_name(label)
        place = self.places[label]
        return cluster_name(place) if place < self.n_best else f"Further cluster {place - self.n_best + 1}"


def present_labels(labels: NDArray[np.int64]) -> list[int]:
    """The labels that occur, clusters first in order, -1 last."""
    found = [int(label) for label in np.unique(labels)]
    return [label for label in found if label >= 0] + [label for label in found if label < 0]
