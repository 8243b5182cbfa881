"""What makes each cluster different: standardised differences of its mean from that of all other rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from kmeans.v1 import task_pb2
from numpy.typing import NDArray

from ui.report.palette import DIVERGING
from ui.report.theme import Theme, finished
from ui.report.wording import cluster_name, name_angle, name_height, number, plot_text, share, tick_names

__all__ = ["Profile", "differences", "figure", "most_distinctive", "profiles"]

# Cohen (1988): 0.2 is a small difference, 0.5 a medium and 0.8 a large one.
_SMALL, _MEDIUM, _LARGE = 0.2, 0.5, 0.8
_MAX_NAMED = 4
_MAX_WRITTEN = 16


@dataclass(frozen=True, slots=True)
class Profile:
    """One cluster in words."""

    label: int
    count: int
    weight: float
    text: str


def differences(clusters: Sequence[task_pb2.Cluster], deviations: Sequence[float]) -> NDArray[np.float64]:
    """(K, d): (mean of the cluster - mean of all other rows) / standard deviation of the column.

    That is Glass's Δ with the deviation of the whole column. Zeros for one cluster, which has no others, and
    for a column that does not vary.

    Args:
        clusters: K, with centers (d) in original units.
        deviations: (d) population standard deviations of the columns.
    """
    centers = np.array([list(cluster.center) for cluster in clusters], dtype=np.float64)
    counts = np.array([cluster.count for cluster in clusters], dtype=np.float64)[:, np.newaxis]
    total = counts.sum()
    if len(clusters) < 2:
        return np.zeros_like(centers)
    others = ((counts * centers).sum(axis=0) - counts * centers) / (total - counts)
    spread = np.asarray(deviations, dtype=np.float64)
    found = np.divide(centers - others, spread, out=np.zeros_like(centers), where=spread > 0)
    return np.asarray(found, dtype=np.float64)


def most_distinctive(found: NDArray[np.float64], counts: Sequence[int]) -> list[int]:
    """Places of the d columns, the one that tells the clusters apart best first.

    By the mean square of the differences (K, d), clusters weighted by their rows.
    """
    weights = np.asarray(counts, dtype=np.float64)
    scores = (weights[:, np.newaxis] * found**2).sum(axis=0)
    return [int(place) for place in np.argsort(-scores, kind="stable")]


def profiles(
    clusters: Sequence[task_pb2.Cluster], columns: Sequence[str], found: NDArray[np.float64]
) -> list[Profile]:
    """A sentence per cluster, its largest differences (K, d) first."""
    total = sum(cluster.count for cluster in clusters)
    return [
        Profile(cluster.label, cluster.count, cluster.count / total, _sentence(cluster, columns, row))
        for cluster, row in zip(clusters, found, strict=True)
    ]


def _sentence(cluster: task_pb2.Cluster, columns: Sequence[str], row: NDArray[np.float64]) -> str:
    strongest = [int(place) for place in np.argsort(-np.abs(row), kind="stable")][:_MAX_NAMED]
    named = [place for place in strongest if abs(row[place]) >= _SMALL]
    if not named:
        return (
            "Its means are close to those of the other rows in every column; it differs in spread or shape."
        )
    parts = [
        f"{_word(row[place])} {columns[place]} (mean {number(cluster.center[place])}, "
        f"{_signed(row[place])} sd)"
        for place in named
    ]
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _word(difference: float) -> str:
    size = abs(difference)
    direction = "higher" if difference > 0 else "lower"
    if size >= _LARGE:
        return f"much {direction}"
    return direction if size >= _MEDIUM else f"slightly {direction}"


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−") if abs(value) >= 0.05 else "0.0"


def figure(
    clusters: Sequence[task_pb2.Cluster],
    columns: Sequence[str],
    found: NDArray[np.float64],
    *,
    theme: Theme = "light",
) -> go.Figure:
    """Draw the differences (K, d) as a heat map, clusters by columns."""
    bound = max(1.0, float(np.abs(found).max(initial=0)))
    names = [plot_text(name) for name in columns]
    written = len(columns) <= _MAX_WRITTEN and len(clusters) <= _MAX_WRITTEN
    drawn = go.Figure(
        go.Heatmap(
            x=list(range(len(names))),
            y=[cluster_name(cluster.label) for cluster in clusters],
            z=found,
            zmin=-bound,
            zmax=bound,
            colorscale=DIVERGING,
            text=[[_signed(value) for value in row] for row in found] if written else None,
            texttemplate="%{text}" if written else None,
            customdata=[
                [
                    (name, number(center), number(spread), share(cluster.weight))
                    for name, center, spread in zip(
                        names, cluster.center, cluster.standard_deviation, strict=True
                    )
                ]
                for cluster in clusters
            ],
            xgap=2,
            ygap=2,
            colorbar={
                "title": {"text": "sd"},
                "thickness": 12,
                "len": 1,
                "lenmode": "fraction",
                "outlinewidth": 0,
            },
            hovertemplate="<b>%{y}</b> (%{customdata[3]} of the rows)"
            "<br>%{customdata[0]}: mean %{customdata[1]}, spread %{customdata[2]}"
            "<br>%{z:+.2f} standard deviations from the other rows<extra></extra>",
        )
    )
    finished(
        drawn,
        "What makes each cluster different: its mean minus that of the other rows",
        theme,
        # Names that stand upright below take their height from the rows, unless the figure has it for them.
        height=max(220, min(900, 130 + 34 * len(clusters))) + name_height(names),
    )
    drawn.update_xaxes(
        tickvals=list(range(len(names))),
        ticktext=tick_names(columns),
        tickangle=name_angle(names),
        showgrid=False,
    )
    labels = [cluster_name(cluster.label) for cluster in clusters]
    drawn.update_yaxes(
        type="category", autorange="reversed", showgrid=False, tickvals=labels, ticktext=labels
    )
    return drawn
