"""Rows of one fit or of six on one axis: what a scatter plot is when there is a single column."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from ui.report.palette import cluster_look
from ui.report.panels import Axis, Panel, present_labels
from ui.report.theme import Theme, finished
from ui.report.wording import cluster_name, plot_text

__all__ = ["figure", "grid"]

_MAX_BINS = 60


def figure(x: Axis, panel: Panel, *, title: str = "", theme: Theme = "light") -> go.Figure:
    """Draw one fit: how many of the rows fall into each bin, clusters stacked."""
    return grid(x, [panel], columns=1, title=title, theme=theme)


def grid(
    x: Axis, panels: Sequence[Panel], *, columns: int = 3, title: str = "", theme: Theme = "light"
) -> go.Figure:
    """Draw fits side by side, in the same bins."""
    columns = max(1, min(columns, len(panels)))
    rows = math.ceil(len(panels) / columns)
    drawn = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=[plot_text(panel.title) + (" ★" if panel.is_best else "") for panel in panels],
        shared_xaxes="all",
        shared_yaxes="all",
        horizontal_spacing=0.03,
        vertical_spacing=0.12,
        x_title=plot_text(x.name),
        y_title="rows",
    )
    edges = _edges(x.values)
    told: set[str] = set()
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        for trace in _traces(x, panel, edges):
            trace.showlegend = trace.legendgroup not in told
            told.add(trace.legendgroup)
            drawn.add_trace(trace, row=row + 1, col=column + 1)
    finished(drawn, title, theme, height=110 + 290 * rows)
    drawn.update_layout(barmode="stack", bargap=0, margin={"l": 64, "b": 56, "t": 76 if title else 44})
    return drawn


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = values[np.isfinite(values)]
    if not len(known):
        return np.array([0.0, 1.0])
    edges = np.histogram_bin_edges(known, "auto")
    return edges if len(edges) <= _MAX_BINS else np.linspace(known.min(), known.max(), _MAX_BINS + 1)


def _traces(x: Axis, panel: Panel, edges: NDArray[np.float64]) -> Iterator[go.Bar]:
    if panel.labels is None:
        return
    for label in present_labels(panel.labels):
        look, name = cluster_look(label, panel.places), cluster_name(label)
        mine = (panel.labels == label) & np.isfinite(x.values)
        if not mine.any():
            continue
        counts, _ = np.histogram(x.values[mine], edges)
        yield go.Bar(
            name=panel.group(label),
            legendgroup=panel.group(label),
            legendrank=panel.rank(label),
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts,
            width=np.diff(edges),
            marker={"color": look.colour, "pattern": {"shape": look.pattern}, "line": {"width": 0}},
            hovertemplate=f"<b>{name}</b><br>{plot_text(x.name)} about %{{x:.5~g}}"
            "<br>%{y:,} rows<extra></extra>",
        )
