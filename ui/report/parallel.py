"""Parallel coordinates: the middle half of each cluster in every column at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from ui.report.palette import cluster_look
from ui.report.panels import Axis, present_labels
from ui.report.theme import Theme, finished
from ui.report.wording import cluster_name, number, plot_text

__all__ = ["MAX_COLUMNS", "figure"]

MAX_COLUMNS = 24


def figure(
    axes: Sequence[Axis], labels: NDArray[np.int64], *, places: Sequence[int] = (), theme: Theme = "light"
) -> go.Figure:
    """Draw each cluster's medians (a line) and quartiles (bars), in standard deviations of the column.

    Of at most MAX_COLUMNS columns.
    """
    axes = axes[:MAX_COLUMNS]
    names = [plot_text(axis.name) for axis in axes]
    drawn = go.Figure()
    clusters = [label for label in present_labels(labels) if label >= 0]
    for turn, label in enumerate(clusters):
        look = cluster_look(label, places)
        quartiles = np.array([_quartiles(axis, labels == label) for axis in axes]).reshape(-1, 3)
        standard = np.array(
            [_standardised(axis, row) for axis, row in zip(axes, quartiles, strict=True)]
        ).reshape(-1, 3)
        shift = 0.0 if len(clusters) == 1 else 0.24 * (turn / (len(clusters) - 1) - 0.5)
        drawn.add_trace(
            go.Scatter(
                name=cluster_name(label),
                x=[place + shift for place in range(len(names))],
                y=standard[:, 1],
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": standard[:, 2] - standard[:, 1],
                    "arrayminus": standard[:, 1] - standard[:, 0],
                    "thickness": 1.4,
                    "width": 4,
                },
                mode="lines+markers",
                line={"color": look.colour, "dash": look.dash, "width": 2},
                marker={"symbol": look.symbol, "size": 9, "color": look.colour},
                customdata=[(name, *map(number, row)) for name, row in zip(names, quartiles, strict=True)],
                hovertemplate=f"<b>{cluster_name(label)}</b><br>%{{customdata[0]}}: median %{{customdata[2]}}"
                "<br>half between %{customdata[1]} and %{customdata[3]}<extra></extra>",
            )
        )
    finished(drawn, "Profile of each cluster: median and quartiles of each column", theme, height=440)
    drawn.update_xaxes(tickvals=list(range(len(names))), ticktext=names, range=[-0.4, len(names) - 0.6])
    drawn.update_yaxes(title_text="standard deviations from the column's mean", zeroline=True)
    return drawn


def _quartiles(axis: Axis, mine: NDArray[np.bool_]) -> NDArray[np.float64]:
    values = axis.values[mine & np.isfinite(axis.values)]
    return np.quantile(values, [0.25, 0.5, 0.75]) if len(values) else np.full(3, np.nan)


def _standardised(axis: Axis, values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = axis.values[np.isfinite(axis.values)]
    spread = float(known.std()) if len(known) else 0.0
    return (values - known.mean()) / spread if spread > 0 else values * 0.0
