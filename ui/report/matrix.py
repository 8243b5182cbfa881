"""Every pair of a few columns at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from ui.report.palette import cluster_look
from ui.report.panels import Axis, present_labels
from ui.report.theme import Theme, finished
from ui.report.wording import cluster_name, plot_text, shortened

__all__ = ["MAX_COLUMNS", "figure"]

MAX_COLUMNS = 6


def figure(
    axes: Sequence[Axis],
    labels: NDArray[np.int64],
    *,
    places: Sequence[int] = (),
    column_count: int | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw the lower half of the scatter matrix of at most MAX_COLUMNS columns.

    Args:
        axes: the columns, the one that tells the clusters apart best first.
        labels: (r,) of the sampled rows.
        places: of the looks of the clusters; see `palette.cluster_look`.
        column_count: how many columns the fit has, when not all of them are in `axes`.
        theme: light or dark.
    """
    shown = axes[:MAX_COLUMNS]
    of = len(axes) if column_count is None else column_count
    title = "Every pair of columns"
    if len(shown) < of:
        title = f"Every pair of the {len(shown)} columns that tell the clusters apart best, of {of}"
    drawn = go.Figure()
    for label in present_labels(labels):
        mine = labels == label
        look = cluster_look(label, places)
        drawn.add_trace(
            go.Splom(
                name=cluster_name(label),
                dimensions=[
                    {"label": plot_text(shortened(axis.name, 18)), "values": axis.values[mine]}
                    for axis in shown
                ],
                diagonal_visible=False,
                showupperhalf=False,
                marker={"color": look.colour, "symbol": look.symbol, "size": 4, "opacity": 0.6},
                hovertemplate=f"<b>{cluster_name(label)}</b><br>%{{xaxis.title.text}}: %{{x:.5~g}}"
                "<br>%{yaxis.title.text}: %{y:.5~g}<extra></extra>",
            )
        )
    finished(drawn, title, theme, height=max(420, 150 * len(shown) + 60))
    drawn.update_xaxes(showgrid=True)
    return drawn
